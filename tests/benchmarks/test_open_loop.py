"""The load with fixed times."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from benchmarks.client import LoadFailed
from benchmarks.load import pack
from benchmarks.open_loop import OpenGenerator, OpenLoad, Stream
from sidecar.dev.servers import RedisServer
from tests.support.waiting import eventually

STALL_S = 0.3


async def answered(client: redis.Redis, pings: int) -> None:
    """Wait until Redis has answered so many PINGs since its counters were reset."""

    def enough() -> bool:
        told: Any = client.info("commandstats")
        return bool(told.get("cmdstat_ping", {"calls": 0})["calls"] >= pings)

    await eventually(enough)


async def test_a_stall_is_measured_by_all_who_would_have_come_meanwhile(
    redis_server: RedisServer, redis_url: str
) -> None:
    """Redis stands still for 0.3 s: of 200 requests a second some 60 are late, not the one that met the stall."""
    load = OpenLoad(redis_server.port, [Stream("ping", [pack("PING")], 200, connections=2)])
    with OpenGenerator() as generator, redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        generator.start(load)
        await answered(client, 40)
        client.execute_command("DEBUG", "SLEEP", STALL_S)
        await answered(client, 110)
        timed = generator.stop()["ping"]
    assert timed.longest_ms >= STALL_S * 900
    assert timed.sample.p99_ms is not None
    assert timed.sample.p99_ms >= STALL_S * 800  # far from the longest one alone
    assert 0.5 * 200 * timed.sample.seconds < timed.sample.requests <= 200 * timed.sample.seconds + 1


async def test_streams_are_told_apart(redis_server: RedisServer, redis_url: str) -> None:
    """Each stream has its own rate and figures, and the requests reach the server."""
    streams = [
        Stream("often", [pack("INCR", "often")], 400),
        Stream("rarely", [pack("INCR", "rarely")], 50),
    ]
    with OpenGenerator() as generator, redis.Redis.from_url(redis_url) as client:
        generator.start(OpenLoad(redis_server.port, streams, {"redis": redis_server.pid}))
        await eventually(lambda: int(client.get("rarely") or 0) >= 20)
        timed = generator.stop()
        assert {name: int(client.get(name) or 0) for name in timed} == {
            name: one.sample.requests for name, one in timed.items()
        }
    assert timed["often"].sample.requests > 4 * timed["rarely"].sample.requests
    assert set(timed["often"].sample.cpu_s) == {"generator", "redis"}


async def test_a_stream_that_ends(redis_server: RedisServer, redis_url: str) -> None:
    """With `once` each request is sent a single time, while the other stream goes on."""
    streams = [
        Stream("once", [pack("INCR", "once"), pack("INCR", "twice")], 1_000, connections=2, once=True),
        Stream("ping", [pack("PING")], 400),
    ]
    with OpenGenerator() as generator, redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        generator.start(OpenLoad(redis_server.port, streams))
        await answered(client, 20)
        timed = generator.stop()
        assert client.mget("once", "twice") == [b"1", b"1"]
    assert timed["once"].sample.requests == 2


async def test_a_refused_request_ends_the_load(redis_server: RedisServer, redis_url: str) -> None:
    """An error reply is no latency, and the next load can begin."""
    with OpenGenerator() as generator, redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        generator.start(OpenLoad(redis_server.port, [Stream("wrong", [pack("LPOS", "only a key")], 100)]))
        # Of a command that nobody else sends: other clients of this Redis are refused one thing or another, too.
        await eventually(lambda: client.info("commandstats").get("cmdstat_lpos", {}).get("rejected_calls"))
        with pytest.raises(LoadFailed, match=r"a request was refused: .*lpos"):
            generator.stop()
        generator.start(OpenLoad(redis_server.port, [Stream("ping", [pack("PING")], 100)]))
        await answered(client, 5)
        assert generator.stop()["ping"].sample.requests > 0


def test_nobody_listens() -> None:
    """A load without a server fails at its start."""
    with OpenGenerator() as generator, pytest.raises(LoadFailed, match="refused"):
        generator.start(OpenLoad(1, [Stream("ping", [pack("PING")], 100)]))
