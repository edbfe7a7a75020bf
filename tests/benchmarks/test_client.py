"""The load client, against a real Redis."""

from __future__ import annotations

import os

import pytest
import redis

from benchmarks.client import FIRST_NUMBER, GENERATOR, LoadFailed, measure
from benchmarks.load import NUMBER, Load, pack
from sidecar.dev.servers import RedisServer

SECONDS = 0.05


async def test_it_counts_what_was_answered(redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> None:
    """Redis has executed everything that was counted: the window's requests, those around it and the first one."""
    request = pack("RPUSH", "list", "a text")
    load = Load(redis_server.port, 4, [[request] * 8] * 3, {"redis": redis_server.pid, "us": os.getpid()})
    sample = await measure(load, seconds=SECONDS, warm_up_s=SECONDS)
    executed = await redis_client.llen("list")
    assert sample.requests % 4 == 0
    assert 0 < sample.requests < executed
    assert sample.answered == executed
    assert (executed - 1) % 4 == 0  # whole pipelines, and the one request that showed the shape of a reply
    assert sample.p50_ms is not None
    assert sample.p99_ms is not None
    assert 0 < sample.p50_ms <= sample.p99_ms
    assert sample.seconds >= SECONDS
    assert sample.cpu_s[GENERATOR] > 0


async def test_requests_can_carry_rising_numbers(redis_server: RedisServer, redis_client: redis.asyncio.Redis) -> None:
    """Each connection fills in numbers of ten digits, one after the other, and leaves a percent sign alone."""
    request = pack("RPUSH", "numbers", NUMBER + b" 100%d")
    await measure(Load(redis_server.port, 2, [[request] * 4]), seconds=SECONDS, warm_up_s=0)
    found = await redis_client.lrange("numbers", 0, -1)
    assert found == [b"%d 100%%d" % (FIRST_NUMBER + place) for place in range(len(found))]
    assert len(found) > 4


async def test_an_error_at_once_ends_the_measurement(redis_url: str, redis_server: RedisServer) -> None:
    """A request that Redis refuses is named, not counted."""
    with pytest.raises(LoadFailed, match=r"unknown command.*NONSENSE"):
        await measure(Load(redis_server.port, 1, [[pack("NONSENSE")]]), seconds=SECONDS, warm_up_s=0)


async def test_a_later_error_ends_the_measurement(redis_url: str, redis_server: RedisServer) -> None:
    """So does a refusal in the middle, although it has as many lines as the reply that was expected."""
    requests = [pack("SET", "text", "x"), pack("LPUSH", "text", "x")]
    with pytest.raises(LoadFailed, match="WRONGTYPE"):
        await measure(Load(redis_server.port, 2, [requests]), seconds=SECONDS, warm_up_s=0)


async def test_replies_of_another_shape_end_the_measurement(redis_url: str, redis_server: RedisServer) -> None:
    """Replies that cannot be counted by lines are noticed."""
    requests = [pack("PING"), pack("ECHO", "two lines")]
    with pytest.raises(LoadFailed, match="number of lines"):
        await measure(Load(redis_server.port, 2, [requests]), seconds=SECONDS, warm_up_s=0)


async def test_requests_must_fill_pipelines(redis_url: str, redis_server: RedisServer) -> None:
    """A circle of requests that does not divide into pipelines is refused."""
    with pytest.raises(LoadFailed, match="3 requests cannot be sent 2 at a time"):
        await measure(Load(redis_server.port, 2, [[pack("PING")] * 3]), seconds=SECONDS, warm_up_s=0)
