"""A client that leaves Redis some time for others."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from sidecar.deputy.resting import LONGEST_REST_S, RestingRedis
from tests.e2e.agents import run


async def time_of(client: Redis, wait_s: float) -> float:
    """Return how long a command takes for which Redis takes so long."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    assert await run(client, "BLPOP", "nothing", f"{wait_s}") is None
    return clock() - begun


@pytest.mark.parametrize("wait_s", [LONGEST_REST_S * 0.8, 1.0])
async def test_it_rests_as_long_as_redis_took(redis_url: str, wait_s: float) -> None:
    """After each command, but no longer than the limit."""
    async with RestingRedis.from_url(redis_url) as client:
        took = await time_of(client, wait_s)
    assert took >= wait_s + min(wait_s, LONGEST_REST_S)
    assert wait_s < 0.1 or took < 2 * wait_s
