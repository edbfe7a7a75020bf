"""The probe says what an append would meet."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from sidecar.dev.ports import free_port
from sidecar.errors import RedisRefused, Unavailable
from sidecar.memory.keys import KeySpace
from sidecar.store.probe import Probe
from tests.store.live import LiveStore
from tests.support.children import StartRedis


async def test_a_redis_that_can_be_used(live: LiveStore, redis_client: Redis) -> None:
    """It answers, and nothing is left behind; any number may probe at once."""
    probe = Probe(live.pipe, KeySpace(project="a:b"))
    answers = [live.sent(probe) for _ in range(20)]
    assert await asyncio.gather(*answers) == [None] * 20
    assert await redis_client.keys("*") == []


async def test_a_replica(start_redis: StartRedis) -> None:
    """What answers PING, and takes no append, cannot be used; once it is a master, it can."""
    server = start_redis()
    async with LiveStore(server.url) as live, Redis.from_url(server.url) as direct:
        await direct.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(RedisRefused, match="READONLY"):
            await live.sent(Probe(live.pipe, KeySpace()))
        await direct.replicaof("NO", "ONE")
        await live.sent(Probe(live.pipe, KeySpace()))


async def test_a_full_redis(start_redis: StartRedis) -> None:
    """Neither can one whose memory is full."""
    server = start_redis()
    async with LiveStore(server.url) as live, Redis.from_url(server.url) as direct:
        await direct.config_set("maxmemory", 1)
        with pytest.raises(RedisRefused, match="OOM"):
            await live.sent(Probe(live.pipe, KeySpace()))


async def test_no_redis() -> None:
    """Where there is none, that is what is told."""
    async with LiveStore(f"redis://127.0.0.1:{free_port()}", deadline_s=0.3) as live:
        with pytest.raises(Unavailable):
            await live.sent(Probe(live.pipe, KeySpace()))
