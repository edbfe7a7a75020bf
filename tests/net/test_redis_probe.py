"""The small connection on which questions are asked, to a real Redis and to servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sidecar.dev.servers import RedisServer
from sidecar.errors import RedisRefused
from sidecar.net.redis_probe import RedisProbe
from tests.support.waiting import eventually


async def connect(port: int) -> RedisProbe:
    _, probe = await asyncio.get_running_loop().create_connection(RedisProbe, "127.0.0.1", port)
    return probe


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[bytes | None], object]]:
    """Factory of servers that send `answer` to whoever connects, and close; None: say nothing and stay."""
    servers: list[asyncio.Server] = []

    async def serve(answer: bytes | None) -> int:
        async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer is not None:
                writer.write(answer)
                writer.close()

        servers.append(await asyncio.start_server(talk, "127.0.0.1", 0))
        port: int = servers[-1].sockets[0].getsockname()[1]
        return port

    yield serve
    for server in servers:
        server.close()


async def test_asking(redis_server: RedisServer) -> None:
    """Replies come one after the other, errors are replies too."""
    probe = await connect(redis_server.port)
    assert await probe.ask("PING") == b"PONG"
    refused = await probe.ask("GET")
    assert isinstance(refused, RedisRefused)
    assert refused.line.startswith("ERR wrong number")
    assert await probe.ask("ECHO", "x" * 1_000_000) == b"x" * 1_000_000
    assert not await probe.lost_within(0.05)
    probe.abort()
    assert await probe.lost_within(5)
    assert not probe.mute
    with pytest.raises(ConnectionError):
        await probe.ask("PING")


async def test_a_connection_that_is_killed(redis_server: RedisServer) -> None:
    """A connection that is lost while it waits for a reply says so."""
    probe, killer = await connect(redis_server.port), await connect(redis_server.port)
    asked = asyncio.create_task(probe.ask("BLPOP", "nothing", "0"))
    number = await killer.ask("CLIENT", "ID")
    await eventually(lambda: killer.ask("CLIENT", "KILL", "ID", str(int(number) - 1)))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await asked
    killer.abort()


async def test_nobody_answers(answering: Callable[[bytes | None], asyncio.Future[int]]) -> None:
    """A server that accepts and says nothing is given up in time, and is not mute: it never hung up."""
    probe = await connect(await answering(None))
    with pytest.raises(TimeoutError):
        await probe.ask("PING")
    assert not probe.mute
    probe.abort()


@pytest.mark.parametrize(("answer", "mute"), [(b"", True), (b"-ERR max number of clients reached\r\n", False)])
async def test_hanging_up(answering: Callable[[bytes | None], asyncio.Future[int]], answer: bytes, mute: bool) -> None:
    """A server that hangs up is mute when it did so without a byte."""
    probe = await connect(await answering(answer))
    assert await probe.lost_within(5)
    assert probe.mute is mute


async def test_not_redis(answering: Callable[[bytes | None], asyncio.Future[int]]) -> None:
    """Who answers with something else is hung up on."""
    probe = await connect(await answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(ConnectionError):
        await probe.ask("PING")
