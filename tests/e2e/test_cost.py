"""What an append costs: one script on Redis, and nothing else on the request path."""

from __future__ import annotations

from typing import Any

import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.memory.keys import SHARDS
from tests.e2e.agents import run
from tests.support.children import StartRedis, StartSidecar
from tests.support.waiting import eventually

APPENDS = 50

ONLY_IN_SCRIPTS = {"hmget", "time", "xadd", "hset", "zadd", "pexpire", "hkeys", "xlen", "zcard"}
"""What append.lua itself calls; Redis counts these too, but they are no round trips."""


async def swept(client: redis.asyncio.Redis) -> bool:
    """Tell whether the sweep at the start, which has nothing to do with appends, is over."""
    calls: Any = await client.info("commandstats")
    return bool(calls.get("cmdstat_zcard", {}).get("calls", 0) >= SHARDS)


async def test_an_append_is_one_round_trip(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """Redis sees one EVALSHA per MEMAPPEND and no other command from the sidecar, whatever Temporal's state."""
    server = start_redis()  # which no other sidecar looks after
    # With Temporal unreachable, a call on the request path would show as an error or a delay.
    sidecar = sidecar_process(
        redis_url=server.url,
        engine="temporal",
        temporal_address=f"127.0.0.1:{free_port()}",
        settings={"MEMSIDECAR_SWEEP_INTERVAL_S": "3600"},
    )
    async with (
        redis.asyncio.Redis.from_url(server.url) as redis_client,
        redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as client,
    ):
        await run(client, "MEMAPPEND", "cost", "user", "warm up: the script is loaded, the fence is done")
        await eventually(lambda: swept(redis_client), why="the sidecar did not look at its outboxes")
        await redis_client.config_resetstat()
        for number in range(APPENDS):
            await run(client, "MEMAPPEND", "cost", "user", f"message {number}")
        calls: Any = await redis_client.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): figures["calls"] for name, figures in calls.items()}
    assert counted.pop("evalsha") == APPENDS
    sent = {name for name in counted if name not in ONLY_IN_SCRIPTS | {"info", "config|resetstat", "config"}}
    assert not sent, f"the sidecar sent more than the script: {sent}"
