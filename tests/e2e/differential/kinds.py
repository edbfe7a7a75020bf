"""The MEM commands that are mixed into the corpus, as data: what is sent, and what comes back on RESP2 and RESP3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.differential.wire import multibulk


@dataclass(frozen=True, slots=True)
class Kind:
    """One request.

    Args:
        name: of the command, upper case.
        request: the bytes, for the key of a memory that nobody else uses.
        resp2, resp3: regular expressions of the whole reply.
        local: whether it leaves Redis alone.
        weight: how often it is chosen, against the others.
    """

    name: str
    request: Callable[[bytes], bytes]
    resp2: bytes
    resp3: bytes
    local: bool = True
    weight: int = 4

    def reply(self, protocol: int) -> bytes:
        return self.resp3 if protocol == 3 else self.resp2


def _words(*words: bytes) -> Callable[[bytes], bytes]:
    return lambda key: multibulk([key if word == b"KEY" else word for word in words])


def _line(line: bytes) -> Callable[[bytes], bytes]:
    return lambda key: line.replace(b"KEY", key)


def _map(protocol: int, fields: tuple[tuple[bytes, bytes, bytes], ...]) -> bytes:
    """Return the pattern of a map: each field has its pattern for RESP2 and for RESP3."""
    body = b"".join(
        rb"\$%d\r\n%b\r\n%b" % (len(name), name, two if protocol == 2 else three) for name, two, three in fields
    )
    return (rb"\*%d\r\n" % (2 * len(fields)) if protocol == 2 else rb"%%%d\r\n" % len(fields)) + body


def _same(name: bytes, pattern: bytes) -> tuple[bytes, bytes, bytes]:
    return (name, pattern, pattern)


_ID = rb"\$\d+\r\n\d{13}-\d+\r\n"
_NULL = (rb"\$-1\r\n", rb"_\r\n")
_FALSE = (rb":0\r\n", rb"#f\r\n")

_APPENDED = (
    _same(b"first-id", _ID),
    _same(b"last-id", _ID),
    _same(b"appended", rb":2\r\n"),
    _same(b"messages", rb":2\r\n"),
    _same(b"tokens", rb":10\r\n"),
    _same(b"flush", rb"\$4\r\nnone\r\n"),
    (b"duplicate", *_FALSE),
)
_EMPTY = (
    (b"summary", *_NULL),
    _same(b"messages", rb"\*0\r\n"),
    _same(b"tokens", rb":0\r\n"),
    _same(b"total-messages", rb":0\r\n"),
    _same(b"total-tokens", rb":0\r\n"),
    (b"more", *_FALSE),
    _same(b"left-out", rb":0\r\n"),
)


def _info(protocol: int) -> bytes:
    """Return the pattern of MEMINFO on a memory that is not there: every field, nothing in it."""
    head = rb"\*40\r\n" if protocol == 2 else rb"%20\r\n"
    return head + rb"\$8\r\nmessages\r\n:0\r\n\$6\r\ntokens\r\n:0\r\n.*\$7\r\nlast-id\r\n" + _NULL[protocol - 2]


def _health(protocol: int) -> bytes:
    head = rb"\*12\r\n\$7\r\nhealthy\r\n:1\r\n" if protocol == 2 else rb"%6\r\n\$7\r\nhealthy\r\n#t\r\n"
    return head + rb"\$5\r\nredis\r\n.*\$9\r\ntokenizer\r\n.*"


def _arity(name: bytes) -> bytes:
    return rb"-ERR wrong number of arguments for '%b' command\r\n" % name


_NO_OPTION = rb"-ERR MEMINFO has no option 'MORE'[^\r]*\r\n"
_COUNTS = rb"\*4\r\n:1\r\n:2\r\n:1\r\n:0\r\n"

KINDS = (
    Kind("MEMCOUNT", _words(b"MEMCOUNT", b"hello", b"hello world", b"a", b""), _COUNTS, _COUNTS, weight=8),
    Kind("MEMCOUNT", _line(b'memCount hello "hello world" \'a\' ""\r\n'), _COUNTS, _COUNTS),
    Kind("MEMCOUNT", _words(b"memcount"), _arity(b"memcount"), _arity(b"memcount")),
    Kind("MEMINFO", _words(b"MEMINFO", b"KEY", b"MORE"), _NO_OPTION, _NO_OPTION),
    Kind("MEMINFO", _line(b"meminfo\n"), _arity(b"meminfo"), _arity(b"meminfo")),
    Kind(
        "MEMAPPEND",
        _words(b"MEMAPPEND", b"KEY", b"narrator", b"once"),
        rb"-BADMESSAGE [^\r]*\r\n",
        rb"-BADMESSAGE [^\r]*\r\n",
    ),
    Kind("MEMREAD", _words(b"MEMREAD", b"KEY", b"TOKENS", b"some"), rb"-ERR [^\r]*\r\n", rb"-ERR [^\r]*\r\n"),
    Kind(
        "MEMCOUNT",
        lambda key: multibulk([b"MEMCOUNT", *[b"x"] * 65_536]),
        rb"-BADMESSAGE a request may have 65536 arguments[^\r]*\r\n",
        rb"-BADMESSAGE a request may have 65536 arguments[^\r]*\r\n",
        weight=1,
    ),
    Kind(
        "MEMAPPEND",
        _words(b"MEMAPPEND", b"KEY", b"user", b"hello", b"assistant", b"\xc3\xa9"),
        _map(2, _APPENDED),
        _map(3, _APPENDED),
        local=False,
        weight=8,
    ),
    Kind("MEMREAD", _words(b"MemRead", b"KEY"), _map(2, _EMPTY), _map(3, _EMPTY), local=False),
    Kind("MEMINFO", _words(b"MEMINFO", b"KEY"), _info(2), _info(3), local=False),
    Kind("MEMCLEAR", _line(b"MEMCLEAR KEY\r\n"), rb":0\r\n", rb":0\r\n", local=False),
    Kind("MEMHEALTH", _words(b"MEMHEALTH"), _health(2), _health(3), local=False, weight=2),
)
