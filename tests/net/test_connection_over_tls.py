"""Client connections behind TLS, in front of a real Redis: nothing that holds for TCP is lost on the way.

The counterpart is `test_connection`; what the stream itself does is shown in `test_tls_stream`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer
from sidecar.net.client_tls import ClientTls
from sidecar.net.listener import Listener
from tests.net.conftest import Front, Fronts, Talk
from tests.net.test_connection import command
from tests.support.certificates import Authority
from tests.support.waiting import eventually

Redis = redis.asyncio.Redis

VALUE = os.urandom(8 * 1024 * 1024)


@dataclass
class Secured:
    """A front, and a TLS port that leads to it."""

    front: Front
    port: int
    context: ssl.SSLContext

    async def connect(self) -> Talk:
        return Talk(*await asyncio.open_connection("localhost", self.port, ssl=self.context, limit=2**27))

    async def closed(self) -> None:
        """Wait until no client is left."""
        await eventually(lambda: self.front.metrics.clients == 0, why="a client is still counted")


@pytest.fixture
async def secured(
    start_front: Fronts, redis_server: RedisServer, redis_client: Redis, tmp_path: Path
) -> AsyncIterator[Secured]:
    """A server in front of the shared, emptied Redis."""
    front = await start_front(redis_server.port)
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    listener = Listener(front.server.accept, address="127.0.0.1:0", tls=ClientTls(issued.cert, issued.key))
    yield Secured(front, await listener.open(), authority.client_context())
    await listener.close()


async def test_a_burst(secured: Secured) -> None:
    """Twenty thousand commands in one go, ours among them, are answered in order."""
    client = await secured.connect()
    sent = b"".join(command("ECHO", f"{number:05}") for number in range(20_000)) + command("MEMCLEAR", "a")
    client.writer.write(sent)
    await client.expect(b"".join(b"$5\r\n%05d\r\n" % number for number in range(20_000)) + b":7\r\n")


async def test_large_values(secured: Secured) -> None:
    """Eight megabytes go there and come back."""
    client = await secured.connect()
    await client.ask(command("SET", "big", VALUE), b"+OK\r\n")
    await client.ask(command("GET", "big"), b"$%d\r\n%b\r\n" % (len(VALUE), VALUE))


@pytest.mark.parametrize("how", ["goodbye", "end of stream", "at once"])
async def test_sent_and_gone(secured: Secured, redis_client: Redis, how: str) -> None:
    """What a client has sent before it went takes effect, however it went."""

    def send_and_leave() -> None:
        with (
            socket.create_connection(("127.0.0.1", secured.port)) as plain,
            secured.context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(command("SET", "big", VALUE) + command("INCR", "n"))
            if how == "goodbye":
                with suppress(ssl.SSLError):  # it does not expect the replies that come
                    client.unwrap()
            elif how == "end of stream":
                client.shutdown(socket.SHUT_WR)

    for _ in range(5):
        await asyncio.to_thread(send_and_leave)
    await secured.closed()
    await eventually(lambda: redis_client.get("n"))
    assert await redis_client.get("n") == b"5"


async def test_half_closed(secured: Secured) -> None:
    """A client that says goodbye behind its commands still gets every reply, and then the end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = secured.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", secured.port)
    sent, received = False, bytearray()
    while True:
        try:
            if not sent:
                tls.do_handshake()
                tls.write(command("INCR", "n") * 500 + command("MEMCLEAR", "a"))
                sent = True
                tls.unwrap()
            received += (data := tls.read(65_536))
            if not data:
                break
        except ssl.SSLZeroReturnError:
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            async with asyncio.timeout(5):
                incoming.write(await reader.read(65_536))
    assert received == b"".join(b":%d\r\n" % number for number in range(1, 501)) + b":7\r\n"
    writer.close()
    await secured.closed()


async def test_an_abandoned_wait(secured: Secured, redis_client: Redis) -> None:
    """A client that goes while it waits takes its wait along: it eats no element later."""
    client = await secured.connect()
    client.writer.write(command("BLPOP", "list", "0"))
    await eventually(lambda: blocked(redis_client))
    await client.close()
    await secured.closed()
    await redis_client.rpush("list", "element")
    assert await redis_client.llen("list") == 1


async def blocked(client: Redis) -> bool:
    return bool((await client.info("clients"))["blocked_clients"] == 1)


async def test_a_client_that_does_not_read(secured: Secured, redis_client: Redis) -> None:
    """A client that does not read its replies stops being read, before Redis's output goes through our memory."""
    await redis_client.set("big", VALUE)
    client = await secured.connect()
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(command("GET", "big") * 40)
    held = 0
    while held != secured.front.metrics.client_bytes_out or not held:
        held = secured.front.metrics.client_bytes_out
        await asyncio.sleep(0.2)
    assert held < 5 * len(VALUE)
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]
    await client.expect((b"$%d\r\n%b\r\n" % (len(VALUE), VALUE)) * 40)


async def test_quit(secured: Secured) -> None:
    """QUIT is answered, and then the connection ends."""
    client = await secured.connect()
    client.writer.write(command("QUIT"))
    assert await client.rest() == b"+OK\r\n"
