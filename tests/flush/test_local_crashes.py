"""The local engine where a step raises what it never should, or Redis is away when a flush gives up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from sidecar.errors import Unavailable
from sidecar.flush.local import LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.memory.label import label
from sidecar.memory.ports import FlushOrder
from sidecar.store.flush_store import FlushStore
from sidecar.store.lease import Lease
from tests.commands.test_traceparent import VALUE
from tests.flush.memories import DEFINITIONS, SPACE, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.support.waiting import eventually

ORDER = FlushOrder("summed", "i")


class Crashing(FlushStore):
    """A store in which staging a plan raises what it never should."""

    crashes = True

    async def stage_plan(self, lease: Lease, plan: bytes) -> tuple[str, bytes]:
        if self.crashes:
            raise RuntimeError("a message's text")
        return await super().stage_plan(lease, plan)


class Away(Crashing):
    """One whose Redis is away, besides, when the failure is to be noted."""

    away = 2

    async def fail(self, lease: Lease, **about: Any) -> int | None:
        if self.away:
            self.away -= 1
            raise Unavailable("it restarts")
        return await super().fail(lease, **about)


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED)


@pytest.fixture
def crashing(redis_client: Redis) -> Crashing:
    return Crashing(redis_client, SPACE)


def engine_of(store: FlushStore) -> LocalEngine:
    steps = FlushSteps(
        store=store, definitions=DEFINITIONS, counter=lambda _: WordCounter(), summariser=NotingSummariser()
    )
    return LocalEngine(steps=steps, space=SPACE)


async def test_a_step_that_crashes(crashing: Crashing, memory: LiveMemory) -> None:
    """A step that raises fails the flush, which is recorded; memory and mark stay, and the next run works."""
    await memory.append(talk(20))
    before = await memory.messages()
    engine = engine_of(crashing)
    outcome = await (await engine.start(ORDER)).outcome()
    assert (outcome.status, outcome.error) == ("failed", "internal error: RuntimeError")
    meta = await memory.meta()
    assert (meta["last_status"], meta["last_error"]) == ("failed", "internal error: RuntimeError")
    assert "flush_run" not in meta
    assert await memory.messages() == before
    assert await memory.marked()
    crashing.crashes = False
    assert (await (await engine.start(ORDER)).outcome()).status == "done"
    await engine.close()


async def test_what_the_log_says_of_it(crashing: Crashing, memory: LiveMemory) -> None:
    """Which memory, by its label, and in which trace it was, if in any."""
    await memory.append(talk(20))
    engine = engine_of(crashing)
    with capture_logs() as lines:
        for order in (ORDER, replace(ORDER, trace=VALUE)):
            await (await engine.start(order)).outcome()
    await engine.close()
    about = {"event": "flush.broke_off", "memory": label(ORDER.definition, ORDER.instance), "log_level": "error"}
    assert [{**line, "exc_info": True} for line in lines] == [
        {**about, "exc_info": True},
        {**about, "exc_info": True, "trace": VALUE.split("-")[1]},
    ]


async def test_a_lease_ends_once_redis_is_back(redis_client: Redis, memory: LiveMemory) -> None:
    """A flush that could not give up its lease tries again, so that others need not wait until the lease runs out."""
    await memory.append(talk(20))
    store = Away(redis_client, SPACE)
    engine = engine_of(store)
    with capture_logs() as lines:
        assert (await (await engine.start(ORDER)).outcome()).status == "failed"
        assert "flush_run" in await memory.meta()
        await eventually(lambda: _is_let_go(memory))
    assert [line["event"] for line in lines] == ["flush.broke_off", "flush.lease_left"]
    assert (await memory.meta())["last_status"] == "failed"
    store.crashes = False
    assert (await (await engine.start(ORDER)).outcome()).status == "done"
    await engine.close()


async def test_closing_does_not_wait_for_redis(redis_client: Redis, memory: LiveMemory) -> None:
    """An engine that is closed leaves the lease to run out."""
    await memory.append(talk(20))
    store = Away(redis_client, SPACE)
    store.away = 1_000
    engine = engine_of(store)
    await (await engine.start(ORDER)).outcome()
    await engine.close()
    assert store.away > 900
    assert "flush_run" in await memory.meta()


async def _is_let_go(memory: LiveMemory) -> bool:
    return "flush_run" not in await memory.meta()
