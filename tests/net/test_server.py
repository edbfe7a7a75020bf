"""The client connections: how many there may be, and how they end."""

from __future__ import annotations

import asyncio

from sidecar.dev.servers import RedisServer
from tests.net.conftest import Fronts
from tests.support.waiting import eventually


async def test_the_client_limit(start_front: Fronts, redis_server: RedisServer) -> None:
    """One client too many gets Redis's own words and is closed; when another leaves, the next one is served."""
    front = await start_front(redis_server.port, max_clients=2)
    first, second = await front.connect(), await front.connect()
    await first.ask(b"PING\r\n", b"+PONG\r\n")
    await second.ask(b"PING\r\n", b"+PONG\r\n")
    third = await front.connect()
    assert await third.rest() == b"-ERR max number of clients reached\r\n"
    await first.close()

    async def served() -> bool:
        client = await front.connect()
        client.writer.write(b"QUIT\r\n")
        return await client.rest() == b"+OK\r\n"

    await eventually(served, why="the place of the client that left stays taken")


async def test_stopping_lets_commands_finish(start_front: Fronts, redis_server: RedisServer) -> None:
    """While the server stops, MEM commands that run are answered before their clients close, and nothing else is."""
    front = await start_front(redis_server.port, at_once=False)
    idle, busy = await front.connect(), await front.connect()
    await idle.ask(b"PING\r\n", b"+PONG\r\n")
    busy.writer.write(b"MEMCLEAR a\r\n")
    await eventually(lambda: front.executed.waiting)
    stopping = asyncio.create_task(front.server.close(10.0))
    assert await idle.rest() == b""
    busy.writer.write(b"PING\r\n")
    front.executed.waiting[0](5)
    assert await busy.rest() == b":5\r\n"
    idle.writer.close()
    busy.writer.close()
    await stopping
    assert front.metrics.clients == 0


async def test_stopping_has_a_limit(start_front: Fronts, redis_server: RedisServer) -> None:
    """A command that does not end in time does not keep the server, and its client is closed."""
    front = await start_front(redis_server.port, at_once=False)
    client = await front.connect()
    client.writer.write(b"MEMCLEAR a\r\n")
    await eventually(lambda: front.executed.waiting)
    async with asyncio.timeout(10):
        await front.server.close(0.05)
    assert await client.rest() == b""
