"""Who waits for a flush on Temporal waits on Temporal, not on Redis; and a worker ends in time without Temporal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions
from temporalio.client import Client

from sidecar.dev.servers import TemporalServer
from sidecar.memory.keys import KeySpace
from sidecar.temporal.worker import WATCHDOG_SECONDS
from tests.e2e.agents import as_map, run, write_many
from tests.support.children import StartRedis, StartSidecar, StartTemporal, StartWorker
from tests.support.waiting import eventually
from tests.temporal.toy_codec import ENCODING

SELDOM = {"MEMSIDECAR_SWEEP_INTERVAL_S": "3600", "MEMSIDECAR_TEMPORAL_TASK_QUEUE": "nobody-polls"}
"""No sweeps and no worker: a flush that is waited for does not end."""

PROMPT_S = 8.0
"""What "at once" means for a process on a busy machine."""


async def commands_while_waiting(client: redis.asyncio.Redis, behind: redis.asyncio.Redis, wait_ms: int) -> int:
    """Wait in vain for a flush, and return how many commands Redis got meanwhile."""
    await behind.config_resetstat()
    with pytest.raises(redis.exceptions.ResponseError, match="TIMEOUT"):
        await run(client, "MEMFLUSH", "default:one", "FORCE", "WAIT", str(wait_ms))
    stats: Any = await behind.info("commandstats")
    ours = {"cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}
    return sum(stat["calls"] for name, stat in stats.items() if name not in ours)


async def test_waiting_does_not_poll_redis(
    start_redis: StartRedis, temporal_server: TemporalServer, sidecar_process: StartSidecar
) -> None:
    """However long a client waits for a flush, Redis gets the same few commands."""
    server = start_redis()
    sidecar = sidecar_process(
        redis_url=server.url, engine="temporal", temporal_address=temporal_server.address, settings=SELDOM
    )
    await write_many(sidecar.url, "default:one", writer=1, appends=5)
    async with (
        redis.asyncio.Redis.from_url(sidecar.url) as client,
        redis.asyncio.Redis.from_url(server.url) as behind,
    ):
        await commands_while_waiting(client, behind, 50)  # connections are opened
        short = await commands_while_waiting(client, behind, 100)
        long = await commands_while_waiting(client, behind, 3_000)
    assert long <= short + 2  # a look at the health of connections may fall into the longer wait


async def test_temporals_own_configuration_and_a_codec(
    start_redis: StartRedis,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    tmp_path: Path,
) -> None:
    """Sidecar and worker find Temporal by its own profile, and a flush goes through the codec of the settings."""
    profile = tmp_path / "temporal.toml"
    profile.write_text(f'[profile.here]\naddress = "{temporal_server.address}"\n')
    server = start_redis()
    settings = {
        "TEMPORAL_CONFIG_FILE": str(profile),
        "TEMPORAL_PROFILE": "here",
        "MEMSIDECAR_PROJECT": "with-a-codec",
        "MEMSIDECAR_TEMPORAL_TASK_QUEUE": "with-a-codec",
        "MEMSIDECAR_TEMPORAL_PAYLOAD_CODEC": "tests.temporal.toy_codec:made",
    }
    sidecar = sidecar_process(redis_url=server.url, engine="temporal", settings=settings)
    worker_process(redis_url=server.url, temporal_address=None, settings=settings)
    await write_many(sidecar.url, "default:one", writer=1, appends=5)
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        reply: Any = await run(client, "MEMFLUSH", "default:one", "FORCE", "WAIT", "30000")
    assert as_map(reply)["status"] == "done"
    temporal = await Client.connect(temporal_server.address)
    history = await temporal.get_workflow_handle("memflush:with-a-codec:default:one").fetch_history()
    payload = history.events[0].workflow_execution_started_event_attributes.input.payloads[0]
    assert payload.metadata["encoding"] == ENCODING


async def test_a_schedule_that_is_paused(
    start_redis: StartRedis,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    tmp_path: Path,
) -> None:
    """While the schedule is paused, sidecars start what has outlived three of its intervals."""
    project = "schedule-paused"
    settings = {
        "MEMSIDECAR_PROJECT": project,
        "MEMSIDECAR_TEMPORAL_TASK_QUEUE": project,
        "MEMSIDECAR_TEMPORAL_SWEEP_INTERVAL_S": "1",
        "MEMSIDECAR_SWEEP_INTERVAL_S": "0.3",
    }
    server = start_redis()
    worker_process(redis_url=server.url, temporal_address=temporal_server.address, settings=settings)
    temporal = await Client.connect(temporal_server.address)
    await temporal.get_schedule_handle(f"memsidecar-sweep:{project}").pause()
    sidecar_process(
        redis_url=server.url, engine="temporal", temporal_address=temporal_server.address, settings=settings
    )
    keys = KeySpace(project=project).keys("default", "gone")
    async with redis.asyncio.Redis.from_url(server.url) as client:
        seconds, _ = await client.time()
        await client.zadd(keys.due, {keys.name: seconds * 1_000})

        async def served() -> bool:
            return not await client.exists(keys.due)

        await eventually(served, limit_s=30, why="nobody served the mark")
        now, _ = await client.time()
    assert now - seconds >= 3


async def test_a_worker_ends_without_temporal(
    redis_url: str, start_temporal: StartTemporal, worker_process: StartWorker
) -> None:
    """SIGTERM ends a worker whose Temporal is away within its grace and the watchdog's time."""
    temporal = start_temporal()
    grace_s = 1.0
    worker = worker_process(
        redis_url=redis_url,
        temporal_address=temporal.address,
        settings={"MEMSIDECAR_TEMPORAL_GRACE_S": str(grace_s), "MEMSIDECAR_TEMPORAL_TASK_QUEUE": "ends"},
    )
    temporal.kill()
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < grace_s + WATCHDOG_SECONDS + PROMPT_S
