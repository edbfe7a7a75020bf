"""Inline commands: the words must be Redis's, so a real Redis says what they are."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.dev.servers import RedisServer
from sidecar.resp.inline import split_inline

WORDS: list[tuple[bytes, list[bytes] | None]] = [
    (b"", []),
    (b"   ", []),
    (b"\t\v\f ", []),
    (b"PING", [b"PING"]),
    (b"  set  key\tvalue ", [b"set", b"key", b"value"]),
    (b"a\vb c\fd", [b"a\vb", b"c\fd"]),
    (b'say "two words"', [b"say", b"two words"]),
    (b"say 'two words'", [b"say", b"two words"]),
    (b'""', [b""]),
    (b"'' ''", [b"", b""]),
    (b'a"b c"', [b"ab c"]),
    (b"a'b c'", [b"ab c"]),
    (b'"a"b', None),
    (b"'a'b", None),
    (b'"a""b"', None),
    (b'"a"\v"b"', [b"a", b"b"]),
    (b'"open', None),
    (b"'open", None),
    (b'"a\\"b"', [b'a"b']),
    (b"'a\\'b'", [b"a'b"]),
    (b"'a\\nb'", [b"a\\nb"]),
    (b'"\\n\\r\\t\\b\\a"', [b"\n\r\t\b\a"]),
    (b'"\\q\\\\"', [b"q\\"]),
    (b'"\\x41\\xfF"', [b"A\xff"]),
    (b'"\\x4"', [b"x4"]),
    (b'"\\xzz"', [b"xzz"]),
    (b'"\\x00"', [b"\0"]),
    (b'"ends in\\', None),
    (b"back\\slash", [b"back\\slash"]),
    ("grüße 🦊".encode(), ["grüße".encode(), "🦊".encode()]),
]


@pytest.mark.parametrize(("line", "words"), WORDS)
def test_words(line: bytes, words: list[bytes] | None) -> None:
    """Quotes, escapes and blanks are taken as Redis's own splitter takes them."""
    assert split_inline(line) == words


@pytest.fixture(scope="module")
def bare_socket(redis_server: RedisServer) -> Iterator[BareRedis]:
    with BareRedis(redis_server.port) as redis:
        yield redis


class BareRedis:
    """A socket to Redis that asks how it splits a line: the array that a script makes of its arguments."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        self._file = connection.makefile("rb")
        return connection

    def __enter__(self) -> BareRedis:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def words(self, line: bytes) -> list[bytes] | None:
        """Return the words of `line`, or None if Redis calls it a protocol error and closes."""
        self._socket.sendall(b'EVAL "return ARGV" 0 ' + line + b"\r\n")
        head = self._file.readline()
        if head.startswith(b"-"):
            assert b"unbalanced quotes" in head
            assert self._file.read() == b""
            self.__exit__()
            self._socket = self._connect()
            return None
        return [self._bulk() for _ in range(int(head[1:]))]

    def _bulk(self) -> bytes:
        length = int(self._file.readline()[1:])
        return self._file.read(length + 2)[:-2]


def test_the_table_is_what_redis_does(bare_socket: BareRedis) -> None:
    """A real Redis splits every line of the table as the table says."""
    for line, words in WORDS:
        assert bare_socket.words(line) == words, line


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*b"ab\"'\\ \t\v\f\rx4\x41nq\xff"]), max_size=12).map(bytes))
@example(b"a\vb")
def test_random_lines_are_split_as_redis_splits_them(bare_socket: BareRedis, line: bytes) -> None:
    """Any mix of quotes, backslashes and blanks gives the words that a real Redis finds."""
    assert split_inline(line) == bare_socket.words(line)
