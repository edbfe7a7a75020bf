"""COMMAND through a real sidecar: what tools ask, on both protocols, is Redis's own answer with our commands in it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import hiredis
import pytest
import redis

from sidecar.commands.merging import merge
from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import SidecarProcess

OURS = sorted(row.name.lower() for row in COMMANDS.values())


def request(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


class Wire:
    """A bare connection: whole replies, as bytes."""

    def __init__(self, port: int, protocol: int = 2) -> None:
        self.protocol = protocol
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._end = 0
        self._received = b""
        if protocol == 3:
            self.ask("HELLO", "3")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *words: str) -> bytes:
        """Send one request behind a full stop, and return all that is answered to it."""
        return self.answers(request(*words))

    def answers(self, data: bytes) -> bytes:
        """Send requests and return every byte up to the answer to an ECHO behind them."""
        self._end += 1
        mark = b"<end %d>" % self._end
        echoed = b"$%d\r\n%b\r\n" % (len(mark), mark)
        self._socket.sendall(data + request("ECHO", mark.decode()))
        while echoed not in self._received:
            more = self._socket.recv(1 << 20)
            assert more, f"closed after {self._received[-200:]!r}"
            self._received += more
        answers, _, self._received = self._received.partition(echoed)
        return answers


def values(data: bytes) -> list[Any]:
    """Return what a client reads, which must end where the bytes end."""
    reader = hiredis.Reader(encoding="utf-8", replyError=ValueError)
    reader.feed(data + b"+end\r\n")
    found = []
    while (value := reader.gets()) is not False:
        found.append(value)
    assert found.pop() == "end", "a reply is cut"
    return found


@pytest.fixture(scope="module")
def direct(redis_server: Any) -> int:
    """Port of Redis itself."""
    return int(redis_server.port)


@pytest.fixture
def sidecar(plain_sidecar: SidecarProcess) -> SidecarProcess:
    return plain_sidecar


REQUESTS = [
    ("COMMAND",),
    ("command", "count"),
    ("COMMAND", "LIST"),
    ("COMMAND", "LIST", "FILTERBY", "PATTERN", "mem*"),
    ("COMMAND", "DOCS"),
    ("COMMAND", "DOCS", "get", "memread", "nosuch"),
    ("COMMAND", "INFO"),
    ("COMMAND", "INFO", "get", "MEMAPPEND", "nosuch"),
    ("COMMAND", "GETKEYS", "memappend", "a:1", "user", "hello"),
    ("COMMAND", "GETKEYS", "mset", "a", "1", "b", "2"),
    ("COMMAND", "GETKEYSANDFLAGS", "memread", "a:1"),
    ("COMMAND", "HELP"),
    ("COMMAND", "nosuch"),
]


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_answer_is_redis_s_with_ours(sidecar: SidecarProcess, direct: int, protocol: int) -> None:
    """Byte by byte, alone and pipelined among other commands and ours."""
    with Wire(direct, protocol) as plain, Wire(sidecar.port, protocol) as wire:
        expected = []
        for words in REQUESTS:
            asked = [word.encode() for word in words]
            expected.append(merge(asked, plain.ask(*words), COMMANDS, protocol))
            assert wire.ask(*words) == expected[-1], words
        pipeline = b"".join(
            request("SET", "n", str(number)) + request(*words) + request("MEMCOUNT", "hello") + request("INCR", "n")
            for number, words in enumerate(REQUESTS)
        )
        counted = b"*1\r\n:1\r\n"
        replies = b"".join(b"+OK\r\n" + reply + counted + b":%d\r\n" % (at + 1) for at, reply in enumerate(expected))
        assert wire.answers(pipeline) == replies


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(sidecar: SidecarProcess, redis_url: str, protocol: int) -> None:
    """redis-py understands all of it, and finds ours."""
    with (
        redis.Redis.from_url(sidecar.url, protocol=protocol) as ours,
        redis.Redis.from_url(redis_url, protocol=protocol) as theirs,
    ):
        found: Any = ours.command()
        plain: Any = theirs.command()
        assert set(found) == set(plain) | set(OURS)
        assert {name: found[name] for name in plain} == plain
        assert found["memappend"]["first_key_pos"] == 1
        assert "write" in found["memappend"]["flags"]
        assert ours.command_count() == len(found)
        (info,) = ours.execute_command("COMMAND", "INFO", "memread").values()
        assert info["name"] == "memread"
        (key,) = ours.command_getkeys("MEMREAD", "chat:42", "TOKENS", "100")
        assert key in ("chat:42", b"chat:42")


def test_in_a_transaction(sidecar: SidecarProcess, direct: int) -> None:
    """In MULTI it is queued and executed by Redis as it is, and the transaction does not fail."""
    sent = [("MULTI",), ("COMMAND", "COUNT"), ("SET", "k", "1"), ("EXEC",), ("GET", "k")]
    with Wire(direct) as plain, Wire(sidecar.port) as wire:
        count = values(plain.ask("COMMAND", "COUNT"))[0]
        replies = values(wire.answers(b"".join(request(*words) for words in sent)))
        assert replies == ["OK", "QUEUED", "QUEUED", [count, "OK"], "1"]
        assert values(wire.ask("COMMAND", "COUNT")) == [count + len(OURS)]


@pytest.mark.parametrize("protocol", [2, 3])
def test_without_the_right(sidecar: SidecarProcess, redis_url: str, direct: int, protocol: int) -> None:
    """A user who may not use COMMAND gets Redis's own refusal, and a login that failed changes nothing."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.acl_setuser("asker", enabled=True, passwords=["+pw"], commands=["+@all", "-command"], keys=["*"])
        try:
            with Wire(direct, protocol) as plain, Wire(sidecar.port, protocol) as wire:
                for each in (plain, wire):
                    assert each.ask("AUTH", "asker", "wrong").startswith(b"-WRONGPASS")
                    assert each.ask("AUTH", "asker", "pw") == b"+OK\r\n"
                refusal = plain.ask("COMMAND", "COUNT")
                assert refusal.startswith(b"-NOPERM")
                assert wire.ask("COMMAND", "COUNT") == refusal
                assert wire.ask("COMMAND") == plain.ask("COMMAND")
        finally:
            admin.acl_deluser("asker")


def test_without_replies(sidecar: SidecarProcess, direct: int) -> None:
    """Under CLIENT REPLY OFF and behind SKIP there is no answer, and the next one has its own."""
    with Wire(direct) as plain, Wire(sidecar.port) as wire:
        merged = values(plain.ask("COMMAND", "COUNT"))[0] + len(OURS)
        skip, count = request("CLIENT", "REPLY", "SKIP"), request("COMMAND", "COUNT")
        assert values(wire.answers(skip + count)) == []
        assert values(wire.answers(skip + count + count)) == [merged]
        assert values(wire.answers(request("GET", "k") + skip + count + count)) == [None, merged]
        assert values(wire.answers(skip + request("MEMCOUNT", "x") + count)) == [merged]
        off, on = request("CLIENT", "REPLY", "OFF"), request("CLIENT", "REPLY", "ON")
        assert values(wire.answers(off + count + count + on + count)) == ["OK", merged]


def test_among_pushes(sidecar: SidecarProcess, redis_url: str, direct: int) -> None:
    """While messages of a subscription come on RESP3, answers and messages stay whole, and nothing is lost."""
    messages = 3_000
    with (
        redis.Redis.from_url(redis_url) as publisher,
        Wire(direct, 3) as plain,
        Wire(sidecar.port, 3) as wire,
    ):
        whole = values(merge([b"COMMAND"], plain.ask("COMMAND"), COMMANDS, 3))[0]
        wire.ask("SUBSCRIBE", "news")

        def publish() -> None:
            for number in range(messages):
                publisher.publish("news", f"{number}")

        publishing = threading.Thread(target=publish)
        publishing.start()
        received = b""
        asked = 0
        while publishing.is_alive():
            asked += 1
            received += wire.ask("COMMAND") + wire.ask("COMMAND", "COUNT")
        publishing.join()
        received += wire.ask("PING")
        found = values(received)
        pushed = [each[2] for each in found if isinstance(each, list) and each[:2] == ["message", "news"]]
        rest = [each for each in found if not (isinstance(each, list) and each[:2] == ["message", "news"])]
        assert pushed == [str(number) for number in range(messages)]
        assert rest == [whole, len(whole)] * asked + ["PONG"]
