"""The bytes of replies: what a client without a library sees of maps, booleans, doubles and nulls."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import hiredis
import pytest

from sidecar.dev.servers import SidecarProcess

LIMIT_S = 10.0

READ = ("summary", "messages", "tokens", "total-messages", "total-tokens", "more", "left-out")


class Wire:
    """A socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)

    def send(self, *words: str) -> None:
        self._socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]  # it takes texts, too

    def gives(self, expected: bytes) -> bool:
        """Whether these are the next bytes."""
        got = b""
        while len(got) < len(expected) and expected.startswith(got):
            data = self._socket.recv(len(expected) - len(got))
            if not data:
                break
            got += data
        assert got == expected
        return True

    def hello(self, protocol: int) -> None:
        """Switch to a protocol."""
        self.send("HELLO", str(protocol), "SETNAME", "wire")
        self.send("ECHO", "end-of-hello")
        got = b""
        while not got.endswith(b"$12\r\nend-of-hello\r\n"):
            got += self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(front: SidecarProcess) -> Iterator[Wire]:
    """A bare connection, in RESP2 as every connection begins."""
    wire = Wire(front.port)
    yield wire
    wire.close()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def written(names: tuple[str, ...], *values: bytes) -> bytes:
    return b"".join(bulk(name) + value for name, value in zip(names, values, strict=True))


def test_resp2_has_flat_arrays_and_numbers_for_booleans(wire: Wire) -> None:
    """Maps are flat arrays, booleans 0 or 1, null is the null bulk string, doubles are text."""
    wire.send("MEMREAD", "nobody")
    zero = b":0\r\n"
    assert wire.gives(b"*14\r\n" + written(READ, b"$-1\r\n", b"*0\r\n", zero, zero, zero, zero, zero))


def test_resp3_has_maps_and_booleans(wire: Wire) -> None:
    """Maps, booleans, doubles and null are RESP3's own types."""
    wire.hello(3)
    wire.send("MEMREAD", "nobody")
    zero = b":0\r\n"
    assert wire.gives(b"%7\r\n" + written(READ, b"_\r\n", b"*0\r\n", zero, zero, zero, b"#f\r\n", zero))


@pytest.mark.parametrize(("protocol", "usage", "near"), [(2, b"$3\r\n0.0\r\n", b":0\r\n"), (3, b",0.0\r\n", b"#f\r\n")])
def test_the_state_of_a_memory(wire: Wire, protocol: int, usage: bytes, near: bytes) -> None:
    """MEMINFO writes the share of the limit as a double, and `near-limit` as a boolean."""
    wire.hello(protocol)
    wire.send("MEMINFO", "nobody")
    null = b"_\r\n" if protocol == 3 else b"$-1\r\n"
    names = ("messages", "tokens", "summary-tokens", "pinned-tokens", "limit-tokens", "limit-messages", "usage")
    values = (*[b":0\r\n"] * 4, b":128000\r\n", null, usage)
    head = b"%20\r\n" if protocol == 3 else b"*40\r\n"
    assert wire.gives(head + written((*names, "near-limit"), *values, near))


@pytest.mark.parametrize("protocol", [2, 3])
def test_errors_and_plain_replies_are_the_same(wire: Wire, protocol: int) -> None:
    """Errors, integers, arrays and texts do not depend on the protocol; what answers OK is a bulk string."""
    wire.hello(protocol)
    wire.send("MEMINFO")
    assert wire.gives(b"-ERR wrong number of arguments for 'meminfo' command\r\n")
    wire.send("MEMCLEAR", "nobody")
    assert wire.gives(b":0\r\n")
    wire.send("MEMCOUNT", "hello", "hello world")
    assert wire.gives(b"*2\r\n:1\r\n:2\r\n")
    wire.send("MEMCONTEXT", "{}")
    assert wire.gives(b"$2\r\nOK\r\n")
    wire.send("MEMREAD", "nobody", "FORMAT", "OPENAI")
    assert wire.gives(b"$2\r\n[]\r\n")
