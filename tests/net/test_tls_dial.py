"""Dialling with TLS: a connection, or an `OSError` that says why not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from sidecar.dev.ports import free_port
from sidecar.net.client_tls import ClientTls
from sidecar.net.listener import Listener
from sidecar.net.tls_dial import dial_tls
from tests.support.certificates import Authority
from tests.support.waiting import eventually


class Echo(asyncio.Protocol):
    """Answers with what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Caller(asyncio.Protocol):
    """Asks as soon as it is connected."""

    made = 0

    def __init__(self) -> None:
        Caller.made += 1
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.received += data


@pytest.fixture(autouse=True)
def none_made() -> None:
    Caller.made = 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    """A server with TLS that echoes, and lets in only the authority's clients."""
    issued = authority.issue("server")
    listener = Listener(Echo, address="127.0.0.1:0", tls=ClientTls(issued.cert, issued.key, authority.ca))
    yield await listener.open()
    await listener.close()


async def dial(port: int, context: ssl.SSLContext, *, server_hostname: str | None = "localhost") -> Caller:
    connect = partial(asyncio.get_running_loop().create_connection, host="127.0.0.1", port=port)
    async with asyncio.timeout(5):
        return await dial_tls(connect, context, Caller, server_hostname=server_hostname)


async def test_connected(port: int, authority: Authority) -> None:
    """The protocol is returned when its connection is up, and has been told so."""
    caller = await dial(port, authority.client_context(authority.issue("agent")))
    await eventually(lambda: caller.received == b"hello")
    assert (("commonName", "server"),) in caller.transport.get_extra_info("peercert")["subject"]
    caller.transport.abort()


async def test_the_name(port: int, authority: Authority) -> None:
    """A certificate for another name is refused, unless names are not checked."""
    context = authority.client_context(authority.issue("agent"))
    with pytest.raises(OSError, match=r"not valid for 'redis\.example'"):
        await dial(port, context, server_hostname="redis.example")
    assert Caller.made == 0
    context.check_hostname = False
    caller = await dial(port, context, server_hostname=None)
    await eventually(lambda: caller.received == b"hello")
    caller.transport.abort()


async def test_a_stranger(port: int, tmp_path: Path) -> None:
    """A certificate of an authority that is not trusted is refused, and nothing is sent."""
    with pytest.raises(OSError, match=r"verify failed: self.signed certificate in certificate chain"):
        await dial(port, Authority(tmp_path, "other").client_context())
    assert Caller.made == 0


async def test_nobody_there(authority: Authority) -> None:
    """A refused connection is passed on as it is."""
    with pytest.raises(ConnectionRefusedError):
        await dial(free_port(), authority.client_context())


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b""])
async def test_no_tls_there(authority: Authority, answer: bytes) -> None:
    """A server that speaks no TLS, or hangs up, is an error."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    with pytest.raises(OSError, match=r"wrong version number|during the TLS handshake"):
        await dial(server.sockets[0].getsockname()[1], authority.client_context())
    server.close()


async def test_given_up(authority: Authority) -> None:
    """Who gives up during the handshake leaves no connection behind."""
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await dial(server.sockets[0].getsockname()[1], authority.client_context())
    async with asyncio.timeout(5):
        await ended.wait()
    assert Caller.made == 0
    server.close()
