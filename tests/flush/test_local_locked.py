"""The local engine on memories whose turn lock somebody holds, and whose messages go while it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.flush.local import FLIGHTS_PER_SLOT, LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.ports import FlushOrder
from sidecar.store import scripts
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import CommitReply, Deed
from sidecar.store.lease import Lease
from tests.flush.memories import SPACE, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.test_local import Gate
from tests.support.cutting_relay import Cut, CuttingRelay
from tests.support.waiting import eventually
from tests.temporal.scripted import ScriptedSteps, done

TRIMMED = replace(SUMMED, id="trimmed", overflow="trim")
"""Due above 800 tokens; above 1,000 the oldest messages make room."""

ORDER = FlushOrder("trimmed", "i")


@pytest.fixture
def gate() -> Gate:
    """A closed gate in front of the summary."""
    return Gate()


@pytest.fixture
async def memory(redis_client: Redis) -> LiveMemory:
    """A memory that is due and full."""
    memory = LiveMemory(redis_client, TRIMMED)
    await memory.append(talk(20))
    return memory


@pytest.fixture
def catalogue() -> Catalogue:
    """The definitions in force."""
    return Catalogue({TRIMMED.id: TRIMMED})


@pytest.fixture
def steps(redis_client: Redis, gate: Gate, catalogue: Catalogue) -> FlushSteps:
    """The real steps with the gate."""
    return FlushSteps(
        store=FlushStore(redis_client, SPACE),
        definitions=catalogue,
        counter=lambda encoding: WordCounter(),
        summariser=gate,
    )


@pytest.fixture
async def engine(steps: FlushSteps) -> AsyncIterator[LocalEngine]:
    """The engine under test."""
    engine = LocalEngine(steps=steps, space=SPACE)
    yield engine
    await engine.close()


async def test_a_commit_waits_for_the_end_of_the_turn(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """While an agent holds the lock its messages stay, the flush keeps its lease, and goes through afterwards."""
    before = await memory.messages()
    await memory.lock()
    gate.open.set()
    handle = await engine.start(ORDER)
    begun_until = (await memory.meta())["flush_until"]

    async def renewed() -> bool:
        return (await memory.meta())["flush_until"] > begun_until

    renewals: bool = await eventually(renewed)
    assert renewals
    assert await memory.redis.hexists(memory.keys.work, "summary")  # there is nothing left to do but the commit
    assert await memory.messages() == before
    await memory.unlock()
    outcome = await handle.outcome()
    assert (outcome.status, outcome.removed) == ("done", 12)
    assert await memory.messages() == before[12:]
    await memory.assert_totals()


async def test_a_lease_that_runs_out_lets_the_commit_through(
    engine: LocalEngine, gate: Gate, memory: LiveMemory
) -> None:
    """An agent that vanishes holds the flush up for the rest of its lease and no longer."""
    await memory.lock(300)
    gate.open.set()
    assert (await (await engine.start(ORDER)).outcome()).status == "done"


async def test_a_flush_that_waits_for_a_turn_takes_no_ones_place(
    redis_client: Redis, steps: FlushSteps, gate: Gate, memory: LiveMemory
) -> None:
    """With one flush at work at a time, others go on while one waits for a lock."""
    engine = LocalEngine(steps=steps, space=SPACE, concurrency=1)
    other = LiveMemory(redis_client, TRIMMED, "other")
    await other.append(talk(20))
    await memory.lock()
    gate.open.set()
    waiting = await engine.start(ORDER)
    assert (await (await engine.start(FlushOrder("trimmed", "other"))).outcome()).status == "done"
    await memory.unlock()
    assert (await waiting.outcome()).status == "done"
    await engine.close()


async def test_many_that_wait_for_turns_leave_room_for_others(
    redis_client: Redis, steps: FlushSteps, gate: Gate
) -> None:
    """With as many flushes waiting for locks as may be under way at once, another memory is flushed nevertheless."""
    engine = LocalEngine(steps=steps, space=SPACE, concurrency=1)
    locked = [LiveMemory(redis_client, TRIMMED, f"locked{number}") for number in range(2 * FLIGHTS_PER_SLOT)]
    other = LiveMemory(redis_client, TRIMMED, "other")
    gate.open.set()
    for each in locked:
        await each.append(talk(20))
        await each.lock()
    await other.append(talk(20))
    async with asyncio.timeout(10):
        waiting = [await engine.start(FlushOrder(*each.address)) for each in locked]
        assert (await (await engine.start(FlushOrder("trimmed", "other"))).outcome()).status == "done"
        for each in locked:
            await each.unlock()
        outcomes = [await handle.outcome() for handle in waiting]
    assert {outcome.status for outcome in outcomes} == {"done"}
    await engine.close()


async def test_patience_with_a_lock_ends(steps: FlushSteps, gate: Gate, memory: LiveMemory) -> None:
    """A lock that is held too long fails the flush: that is recorded, memory and mark stay, and the next one works."""
    engine = LocalEngine(steps=steps, space=SPACE, lock_patience_s=0.1)
    before = await memory.messages()
    await memory.lock()
    gate.open.set()
    outcome = await (await engine.start(ORDER)).outcome()
    assert outcome.status == "failed"
    assert "somebody holds the lock of the memory" in outcome.error
    meta = await memory.meta()
    assert (meta["last_status"], meta["last_error"]) == ("failed", outcome.error)
    assert "flush_run" not in meta
    assert await memory.messages() == before
    assert await memory.marked()
    await memory.unlock()
    assert (await (await engine.start(ORDER)).outcome()).status == "done"
    await engine.close()


async def delete(memory: LiveMemory) -> None:
    """MEMDEL of one that the flush is about to remove."""
    await memory.delete((await memory.ids())[2])


async def delete_another(memory: LiveMemory) -> None:
    """MEMDEL of one that the flush would leave."""
    await memory.delete((await memory.ids())[-1])


async def write(memory: LiveMemory) -> None:
    """MEMWRITE of a content that is due as well."""
    await memory.write(talk(20, content="another"))


async def trim(memory: LiveMemory) -> None:
    """MEMAPPEND for which the oldest message makes room."""
    await memory.append(talk(1, content="one more"))


async def clear(memory: LiveMemory) -> None:
    """MEMCLEAR, and a new content."""
    await memory.clear()
    await memory.append(talk(20, content="another"))


@pytest.mark.parametrize("change", [delete, delete_another, write, trim, clear])
async def test_messages_that_go_under_a_flush_end_it(
    engine: LocalEngine, gate: Gate, memory: LiveMemory, change: Callable[[LiveMemory], Awaitable[None]]
) -> None:
    """Whoever takes messages away wins: the flush fails, what is there then stays, and the mark brings the next one."""
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    await change(memory)
    after = await memory.messages()
    gate.open.set()
    outcome = await handle.outcome()
    assert outcome.status == "failed"
    assert "the flush was refused" in outcome.error
    assert await memory.messages() == after
    assert "flush_run" not in await memory.meta()
    assert await memory.marked()
    outcome = await (await engine.start(ORDER)).outcome()
    assert outcome.status == "done"
    assert await memory.messages() == after[outcome.removed :]
    await memory.assert_totals()


async def test_a_message_pinned_under_a_flush_stays(engine: LocalEngine, gate: Gate, memory: LiveMemory) -> None:
    """A message that is pinned when its summary is being written already is not removed, by this flush or the next."""
    pinned = (await memory.ids())[2]
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    await memory.pin(pinned)
    gate.open.set()
    outcome = await handle.outcome()
    assert (outcome.status, "stale-plan" in outcome.error) == ("failed", True)
    assert await memory.marked()
    assert (await (await engine.start(ORDER)).outcome()).status == "done"
    assert (await memory.ids())[0] == pinned


async def test_a_definition_that_goes_under_a_flush_ends_it(
    engine: LocalEngine, gate: Gate, memory: LiveMemory, catalogue: Catalogue
) -> None:
    """A flush whose definition a reload removes fails with that reason, and the mark stays."""
    handle = await engine.start(ORDER)
    await eventually(lambda: gate.arrived)
    catalogue.replace({"other": replace(TRIMMED, id="other")}, strict=False)
    gate.open.set()
    outcome = await handle.outcome()
    assert outcome.status == "failed"
    assert "no memory definition 'trimmed'" in outcome.error
    assert (await memory.meta())["last_error"] == outcome.error
    assert await memory.marked()


async def test_only_the_first_round_has_the_target() -> None:
    """The target is that of who asked: what comes meanwhile is brought down as far as the definition says."""
    steps = ScriptedSteps(commit=[done(again=True)])
    engine = LocalEngine(steps=steps, space=SPACE)
    await (await engine.start(FlushOrder("trimmed", "i", True, "fifo", 300))).outcome()
    await eventually(lambda: not engine.busy)
    assert steps.ways == [("fifo", 300), ("fifo", None)]
    assert [force for _, force in steps.orders] == [True, False]
    await engine.close()


async def test_a_commit_without_an_answer_is_not_told_as_undone(redis_url: str, memory: LiveMemory) -> None:
    """Where the commit was made and every answer is lost for too long, the outcome says that nothing is certain."""
    async with CuttingRelay(redis_url) as relay:
        behind = Redis.from_url(relay.url, retry=Retry(NoBackoff(), 0))
        async with behind:
            for name in ("begin", "facts", "stage", "copy", "commit"):
                await behind.script_load(scripts.load(name).source)
            store = CutStore(behind, SPACE)
            store.relay = relay
            steps = FlushSteps(
                store=store,
                definitions={TRIMMED.id: TRIMMED},
                counter=lambda encoding: WordCounter(),
                summariser=NotingSummariser(),
            )
            engine = LocalEngine(steps=steps, space=SPACE, answer_patience_s=0.1)
            outcome = await (await engine.start(ORDER)).outcome()
            await engine.close()
    assert (outcome.status, outcome.certain) == ("failed", False)
    assert len(await memory.ids()) == 8
    assert (await memory.meta())["last_status"] == "done"


class CutStore(FlushStore):
    """The real store, whose commits get no answer."""

    relay: CuttingRelay

    async def commit(self, lease: Lease, deed: Deed, **how: Any) -> CommitReply:
        self.relay.plan = repeat(Cut("reply", 0))
        return await super().commit(lease, deed, **how)
