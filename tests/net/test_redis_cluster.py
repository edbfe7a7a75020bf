"""Whether Redis is a cluster, asked of real ones with all kinds of rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
import redis

from sidecar.dev.servers import RedisServer
from sidecar.errors import RedisRefused
from sidecar.net.redis_cluster import in_cluster
from sidecar.net.redis_probe import Dial, RedisProbe
from tests.support.children import StartRedis
from tests.support.clusters import start_cluster
from tests.support.waiting import eventually

P = TypeVar("P", bound=asyncio.Protocol)

NOBODY = ("ACL", "SETUSER", "default", "resetpass", ">secret", "+@all")
NO_INFO = ("ACL", "SETUSER", "default", "-info")
NOTHING = ("ACL", "SETUSER", "default", "-info", "-cluster")
LOGIN = [("AUTH", "secret"), ("SELECT", "0")]
WRONG = [("AUTH", "mistaken")]
OWNER = [("AUTH", "owner", "word")]


def dialling(server: RedisServer) -> Dial:
    async def dial(create: Callable[[], P]) -> P:
        _, protocol = await asyncio.get_running_loop().create_connection(create, "127.0.0.1", server.port)
        return protocol

    return dial


async def asked(server: RedisServer, greeting: list[tuple[str, ...]]) -> bool | None:
    dial = dialling(server)
    probe = await dial(RedisProbe)
    try:
        return await in_cluster(probe, dial, greeting)
    finally:
        probe.abort()


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize(
    ("rights", "greeting", "known"),
    [
        ((), [], True),
        (NO_INFO, [], True),
        (NOTHING, [], False),
        (NOTHING, OWNER, True),
        (NOBODY, [], False),
        (NOBODY, LOGIN, True),
        (NOBODY, WRONG, False),
    ],
)
async def test_asking(
    start_redis: StartRedis, cluster: bool, rights: tuple[str, ...], greeting: list[tuple[str, ...]], known: bool
) -> None:
    """A cluster is recognised by whoever may ask, and by our own user where an anonymous one may not."""
    server = start_cluster(start_redis) if cluster else start_redis()
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "owner", "on", ">word", "+@all")
        if rights:
            client.execute_command(*rights)
    assert await asked(server, greeting) is (cluster and known)
    with redis.Redis.from_url(server.url, username="owner", password="word") as client:
        await eventually(lambda: len(client.client_list()) == 1, why="a connection was left behind")


async def test_a_busy_redis(start_redis: StartRedis) -> None:
    """A Redis in the middle of a long script cannot tell, and may be asked again."""
    server = start_redis("--lua-time-limit", "10")
    probe = await dialling(server)(RedisProbe)
    script = await dialling(server)(RedisProbe)
    endless = asyncio.create_task(script.ask("EVAL", "while true do end", "0"))

    async def busy() -> bool:
        return isinstance(await probe.ask("PING"), RedisRefused)

    await eventually(busy)
    assert await in_cluster(probe, dialling(server), []) is None
    await probe.ask("SCRIPT", "KILL")
    await endless
    assert await in_cluster(probe, dialling(server), []) is False
