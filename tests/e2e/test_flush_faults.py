"""Workers, Temporal, Redis and sidecars are killed while memories are flushed under load, and no message is lost.

What is killed has always a flush under way. The same over 200 flushes each, with a kill in every
tenth: `python -m pytest -m long tests/e2e/test_flush_faults.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio
from _pytest.mark.structures import ParameterSet

from sidecar.dev.ports import free_port
from sidecar.dev.servers import SidecarProcess, TemporalServer, WorkerProcess
from tests.e2e.agents import SPACE, definitions_file
from tests.e2e.flush_ledger import DEFINITION, FlushLedger
from tests.support.children import StartRedis, StartSidecar, StartTemporal, StartWorker, ready

SWEEP_OFTEN = {"MEMSIDECAR_SWEEP_INTERVAL_S": "0.3"}


def games(kills: int) -> list[ParameterSet]:
    """How often something is killed, and how many flushes are done before each time and after the last."""
    long = (20, 10)
    return [
        pytest.param((kills, 10), id="short"),
        pytest.param(long, id="long", marks=[pytest.mark.long, pytest.mark.timeout(1_800)]),
    ]


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """One definition, under which little makes a flush due."""
    return definitions_file(tmp_path, **DEFINITION)


@pytest.fixture
def instances() -> list[str]:
    """Memories that no other test has: the workflow ids of all tests share one server."""
    return [f"i{number}-{uuid4().hex}" for number in range(6)]


async def serving(sidecar: SidecarProcess) -> SidecarProcess:
    """Wait for a sidecar."""
    await asyncio.to_thread(ready, sidecar)
    return sidecar


@pytest.mark.parametrize("game", games(1)[1:])  # only the long one: each kill costs missed heartbeats of 10 s
async def test_workers_are_killed(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    definitions: Path,
    instances: list[str],
    game: tuple[int, int],
) -> None:
    """A worker that is killed in the middle of flushes loses nothing, and the next one goes on with them."""
    times, flushes = game
    settings = {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": f"faults-{uuid4().hex}", **SWEEP_OFTEN}
    address = temporal_server.address

    def started() -> WorkerProcess:
        return worker_process(
            redis_url=redis_url, temporal_address=address, definitions=definitions, settings=settings, wait=False
        )

    worker = started()
    sidecar = await serving(
        sidecar_process(
            redis_url=redis_url,
            engine="temporal",
            temporal_address=address,
            definitions=definitions,
            settings=settings,
            wait=False,
        )
    )
    ledger = FlushLedger([sidecar.url], instances, seconds=180)
    for _ in range(times):
        await ledger.flushes(flushes)
        await ledger.running(redis_client)
        worker.kill()
        worker = started()
    await ledger.flushes(flushes)
    await ledger.stop()
    await ledger.assert_nothing_lost(redis_client)


@pytest.mark.parametrize("game", games(1))
async def test_temporal_is_killed(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    start_temporal: StartTemporal,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    definitions: Path,
    instances: list[str],
    tmp_path: Path,
    game: tuple[int, int],
) -> None:
    """Without Temporal appends go on; started again on what it had stored, it goes on with the flushes."""
    times, flushes = game
    temporal = start_temporal(db_filename=tmp_path / "temporal.db")
    worker_process(redis_url=redis_url, temporal_address=temporal.address, definitions=definitions)
    sidecar = sidecar_process(
        redis_url=redis_url,
        engine="temporal",
        temporal_address=temporal.address,
        definitions=definitions,
        settings=SWEEP_OFTEN,
    )
    ledger = FlushLedger([sidecar.url], instances, seconds=90)
    for _ in range(times):
        await ledger.flushes(flushes)
        await ledger.running(redis_client)
        temporal.kill()
        await ledger.appends(20)
        temporal.spawn()
        await asyncio.to_thread(temporal.wait_ready)
    await ledger.flushes(flushes)
    await ledger.stop()
    await ledger.assert_nothing_lost(redis_client)


@pytest.mark.parametrize("game", games(2))
async def test_redis_is_killed(
    start_redis: StartRedis,
    sidecar_process: StartSidecar,
    definitions: Path,
    instances: list[str],
    game: tuple[int, int],
) -> None:
    """A Redis that writes before it answers is killed under flushes: each is there whole or not at all."""
    times, flushes = game
    server = start_redis("--appendfsync", "always", appendonly=True)
    sidecar = sidecar_process(redis_url=server.url, definitions=definitions, settings=SWEEP_OFTEN)
    ledger = FlushLedger([sidecar.url], instances)
    for _ in range(times):
        await ledger.flushes(flushes)
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await ledger.running(client)
        server.kill()
        server.spawn()
        await asyncio.to_thread(server.wait_ready)
    await ledger.flushes(flushes)
    await ledger.stop()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await ledger.assert_nothing_lost(client)


@pytest.mark.parametrize("game", games(1))
async def test_sidecars_are_killed(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    sidecar_process: StartSidecar,
    definitions: Path,
    instances: list[str],
    game: tuple[int, int],
) -> None:
    """Of two sidecars that flush themselves one is killed, time and again: the other one takes its flushes over."""
    times, flushes = game
    ports = [free_port(), free_port()]

    def start(port: int) -> SidecarProcess:
        return sidecar_process(
            redis_url=redis_url, definitions=definitions, settings=SWEEP_OFTEN, port=port, wait=False
        )

    sidecars = [await serving(start(port)) for port in ports]
    ledger = FlushLedger([sidecar.url for sidecar in sidecars], instances)
    for number in range(times):
        await ledger.flushes(flushes)
        await ledger.running(redis_client)
        which = number % 2
        sidecars[which].kill()
        await _lapse(redis_client, instances)
        sidecars[which] = await serving(start(ports[which]))
    await ledger.flushes(flushes)
    await ledger.stop()
    await ledger.assert_nothing_lost(redis_client)


async def _lapse(client: redis.asyncio.Redis, instances: list[str]) -> None:
    """Let a minute pass for the leases of the one that was killed: they run out. A live run's goes on for its fence."""
    for instance in instances:
        meta = SPACE.keys("small", instance).meta
        if await client.hexists(meta, "flush_run"):
            await client.hset(meta, "flush_until", "1")
