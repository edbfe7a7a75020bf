"""Connections, Redis and sidecars go away under load, and every append is there as often as its writer was told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import as_map, definitions_file, meta, run
from tests.e2e.ledger import Ledger
from tests.support.children import StartRedis, StartSidecar, ready
from tests.support.cutting_relay import Cut, CuttingRelay

WRITERS = 24

INSTANCES = ("crowd", "crowd", "crowd", *(f"own{number}" for number in range(6)))
"""A third of the writers write to one memory, the others in pairs to their own."""


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """One definition, under which nothing is ever due."""
    return definitions_file(tmp_path, id="log", max_tokens=None)


def cuts(chance: Random) -> Iterator[Cut | None]:
    """Cut every fourth piece or so, at a place of each kind."""
    while True:
        places = (
            Cut("request", 0),
            Cut("request", chance.randrange(1, 2_000)),
            Cut("request", None),
            Cut("reply", 0),
            Cut("reply", chance.randrange(1, 120)),
        )
        yield chance.choice(places) if chance.random() < 0.25 else None


async def test_the_sidecar_s_connection_breaks(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, definitions: Path
) -> None:
    """It breaks all the time, anywhere, and no client notices: each append is answered at once, and stored once."""
    async with CuttingRelay(redis_url) as relay:
        sidecar = sidecar_process(
            redis_url=relay.url, definitions=definitions, settings={"MEMSIDECAR_COMMAND_TIMEOUT_S": "60"}, wait=False
        )
        await serving(sidecar)
        relay.plan = cuts(Random(1))
        ledger = Ledger([sidecar.url], "log", INSTANCES, writers=WRITERS)
        await ledger.until(lambda: relay.cuts >= 80)
        relay.plan = iter(())
        await ledger.stop()
        assert {line.tries for line in ledger.lines} == {1}
        assert (ledger.unanswered, ledger.repetitions) == (0, 0)
        await ledger.assert_exactly_once(redis_client)


async def test_every_connection_breaks(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, definitions: Path
) -> None:
    """The clients' own ones break too, at any moment: who repeats with a token is stored once, others at most once."""
    async with CuttingRelay(redis_url) as behind:
        (sidecar,) = await serving(sidecar_process(redis_url=behind.url, definitions=definitions, wait=False))
        async with CuttingRelay(sidecar.url) as front:
            behind.plan = cuts(Random(2))
            ledger = Ledger([front.url], "log", INSTANCES, writers=WRITERS)
            for number in range(20):
                await ledger.progress(20)
                await (behind if number % 3 == 0 else front).break_all()
            behind.plan = iter(())
            await ledger.stop()
        assert ledger.unanswered
        assert ledger.repetitions
        await ledger.assert_exactly_once(redis_client)


async def test_redis_is_killed(start_redis: StartRedis, sidecar_process: StartSidecar, definitions: Path) -> None:
    """A Redis that writes before it answers is killed and started again under load, several times."""
    server = start_redis("--appendfsync", "always", appendonly=True)
    sidecar = sidecar_process(redis_url=server.url, definitions=definitions)
    ledger = Ledger([sidecar.url], "log", INSTANCES, writers=WRITERS)
    for _ in range(4):
        await ledger.progress(200)
        await kill_and_start(server)
    await ledger.progress(200)
    await ledger.stop()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await ledger.assert_exactly_once(client)


async def test_sidecars_are_killed(start_redis: StartRedis, sidecar_process: StartSidecar, definitions: Path) -> None:
    """One of two sidecars is killed, then Redis, then the other one: clients go on, and nothing is lost or doubled."""
    server = start_redis("--appendfsync", "always", appendonly=True)
    first, second = await serving(
        *(sidecar_process(redis_url=server.url, definitions=definitions, wait=False) for _ in range(2))
    )
    ledger = Ledger([first.url, second.url], "log", INSTANCES, writers=WRITERS)
    await ledger.progress(150)
    first.kill()
    await ledger.progress(150)
    await kill_and_start(server)
    await serving(sidecar_process(redis_url=server.url, definitions=definitions, port=first.port, wait=False))
    await ledger.progress(150)
    second.kill()
    await ledger.progress(150)
    await ledger.stop()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await ledger.assert_exactly_once(client)
        facts = await meta(client, "log", "crowd")
        assert len([name for name in facts if name.startswith("op:")]) >= 2, "one has written everything"
    old = next(line for line in ledger.lines if line.token and line.told)
    messages = [word for content in old.contents for word in ("user", content)]
    async with redis.asyncio.Redis.from_url(first.url) as client:
        again = as_map(await run(client, "MEMAPPEND", f"log:{old.instance}", "IDEMPOTENT", old.token or "", *messages))
    assert again == {**(old.told or {}), "duplicate": again["duplicate"]}
    assert again["duplicate"]


async def serving(*sidecars: SidecarProcess) -> tuple[SidecarProcess, ...]:
    """Wait for sidecars while this event loop goes on: it carries their bytes, or their clients'."""
    await asyncio.gather(*(asyncio.to_thread(ready, sidecar) for sidecar in sidecars))
    return sidecars


async def kill_and_start(server: RedisServer) -> None:
    """Kill Redis where it is, and start it on what it had written."""
    server.kill()
    server.spawn()
    await asyncio.to_thread(server.wait_ready)
