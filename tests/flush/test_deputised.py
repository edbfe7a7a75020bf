"""Large flushes, done by another process: the same outcome, and nothing lost whatever happens to that process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.deputy.charge import COMMAND, environment
from sidecar.errors import DeputyLost, SummaryRejected, Uncertain
from sidecar.flush.deputised import DeputisedLabour
from sidecar.flush.deputy import Deputy
from sidecar.flush.errands import Kind
from sidecar.flush.labour import Labour, OwnLabour
from sidecar.flush.local import LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.flush.summarisers.extractive import ExtractiveSummariser
from sidecar.flush.ticket import Ticket
from sidecar.memory import plan
from sidecar.memory.definition import Definition, FlushPolicy
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import CommitReply, Deed
from sidecar.store.lease import Lease
from sidecar.tokens.counter import load_counter
from tests.flush.conversations import PARCEL
from tests.flush.deputies import charge_of, real_deputy
from tests.flush.memories import SPACE, SUMMED, Entry, LiveMemory, NotingSummariser, counted, talk
from tests.flush.test_deputy import ANY, pid_of
from tests.support.children import alive, freeze
from tests.support.waiting import eventually

LARGE = 20
"""Messages from which on the tests leave a memory to the deputy."""

STRATEGIES = {
    strategy: Definition(
        id=strategy.replace("_", "-"),
        max_tokens=1_000,
        flush=FlushPolicy(strategy=strategy, threshold=0.8, target=0.5, summary_tokens=100, tool_result_tokens=40),
    )
    for strategy in sorted(plan.STRATEGIES)
}

DEFINITIONS = {known.id: known for known in (SUMMED, *STRATEGIES.values())}


def pid(deputy: Deputy) -> int | None:
    """Return the process that runs now."""
    return deputy.pid


class World:
    """An engine whose large flushes a real deputy does."""

    def __init__(self, redis: Redis, deputy: Deputy, metrics: Metrics) -> None:
        self.deputy = deputy
        self.store = FlushStore(redis, SPACE)
        self.metrics = metrics
        self.engine = self.engine_with(lambda own: self.deputised(own))

    def deputised(self, own: Labour, *, deputy: Deputy | None = None, tokens: int = 1_000_000) -> DeputisedLabour:
        """Return labour that leaves a memory of `LARGE` messages to a deputy."""
        return DeputisedLabour(
            own,
            deputy=deputy or self.deputy,
            store=self.store,
            metrics=self.metrics,
            large_messages=LARGE,
            large_tokens=tokens,
        )

    def steps_with(self, deputise: Callable[[OwnLabour], Labour] | None, store: FlushStore | None = None) -> FlushSteps:
        """Return the steps with another labour, or with the own one."""
        return FlushSteps(
            store=store or self.store,
            definitions=DEFINITIONS,
            counter=load_counter,
            summariser=ExtractiveSummariser(),
            metrics=self.metrics,
            deputise=deputise,
        )

    def engine_with(
        self, deputise: Callable[[OwnLabour], Labour] | None, store: FlushStore | None = None
    ) -> LocalEngine:
        """Return an engine with such steps."""
        return LocalEngine(steps=self.steps_with(deputise, store), space=SPACE, answer_patience_s=0.0)


@pytest.fixture
async def world(redis_client: Redis, redis_url: str) -> AsyncIterator[World]:
    """An engine, and its deputy."""
    deputy = real_deputy(redis_url)
    world = World(redis_client, deputy, Metrics())
    yield world
    await world.engine.close()
    await deputy.close()


class Rejecting(Deputy):
    """A deputy whose summaries are none."""

    async def do(self, kind: Kind, definition: Definition, **what: Any) -> Any:
        if kind == "summarise":
            raise SummaryRejected("empty")
        return await super().do(kind, definition, **what)


async def flush(engine: LocalEngine, memory: LiveMemory) -> FlushOutcome:
    """Flush a memory that is due."""
    return await (await engine.start(FlushOrder(*memory.address))).outcome()


def said() -> list[Entry]:
    """Return a conversation with tools, 60 tokens a message, so that every strategy finds something to do."""
    call = json.dumps({"tool_calls": [{"id": "c1", "function": {"name": "track", "arguments": "{}"}}]})
    answer = json.dumps({"tool_call_id": "c1"})
    turns: list[Entry] = [(each.role, each.content, 60) for each in PARCEL.messages if each.role != "tool"]
    return [
        *turns[:2],
        ("assistant", "", 20, call),
        ("tool", "the parcel is in Ghent " * 30, 200, answer),
        *(turns[2:] * 5)[: LARGE + 5],
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_same_comes_out(world: World, redis_client: Redis, strategy: str) -> None:
    """A plan, a summary and a commit are the same, whichever process has made them."""
    here = LiveMemory(redis_client, STRATEGIES[strategy], "here")
    there = LiveMemory(redis_client, STRATEGIES[strategy], "there")
    for memory in (here, there):
        await memory.append(said())
    own = world.engine_with(None)
    ours = await flush(own, here)
    await own.close()
    assert pid(world.deputy) is None
    theirs = await flush(world.engine, there)
    assert pid(world.deputy) is not None
    assert ours.status == "done"
    assert ours.removed
    assert replace(theirs, run_id="", duration_ms=0) == replace(ours, run_id="", duration_ms=0)
    assert [message[1:] for message in await there.messages()] == [message[1:] for message in await here.messages()]
    summaries = [(await memory.meta()).get("summary") for memory in (here, there)]
    assert summaries[0] == summaries[1]
    assert bool(summaries[0]) is (strategy == "hybrid_summary")


async def test_a_small_memory_stays_here(world: World, redis_client: Redis) -> None:
    """One message less than a large memory has, and no process is started for it."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE - 1))
    outcome = await flush(world.engine, memory)
    assert (outcome.status, world.deputy.pid) == ("done", None)
    await memory.append(talk(LARGE))
    assert (await flush(world.engine, memory)).status == "done"
    assert world.deputy.pid is not None


async def test_few_messages_of_many_tokens_are_large_too(world: World, redis_client: Redis) -> None:
    """It is the text that takes the time."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE - 1, tokens=100))
    engine = world.engine_with(lambda own: world.deputised(own, tokens=1_900))
    assert (await flush(engine, memory)).status == "done"
    await engine.close()
    assert world.deputy.pid is not None


async def test_other_summarisers_stay_here(world: World, redis_client: Redis) -> None:
    """A model is asked from here; plan and commit of a large memory are made elsewhere all the same."""
    named = replace(SUMMED, flush=replace(SUMMED.flush, summariser="noting"))
    noting = NotingSummariser()
    steps = FlushSteps(
        store=world.store,
        definitions={SUMMED.id: named},
        counter=load_counter,
        summariser=ExtractiveSummariser(),
        summarisers={"noting": noting},
        deputise=world.deputised,
    )
    engine = LocalEngine(steps=steps, space=SPACE)
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE))
    outcome = await flush(engine, memory)
    await engine.close()
    assert outcome.status == "done"
    assert world.deputy.pid is not None
    assert len(noting.calls) == 1


async def test_a_summary_that_fails_there_is_counted_here(world: World, redis_client: Redis, redis_url: str) -> None:
    """The metrics are those of the sidecar."""
    deputy = Rejecting(COMMAND, environment=environment(), charge=lambda: charge_of(redis_url))
    engine = world.engine_with(lambda own: world.deputised(own, deputy=deputy))
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE))
    outcome = await flush(engine, memory)
    await engine.close()
    await deputy.close()
    assert (outcome.status, outcome.summary_tokens) == ("done", 0)
    # Two tries are counted, and not the fallback, as with a summary that fails here.
    assert counted(world.metrics, "summaries_failed_total", reason="empty") == 2


async def test_a_preview_is_made_there(world: World, redis_client: Redis) -> None:
    """What a large flush would do is told by the deputy, and by ourselves where it is lost again and again."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE))
    before = await memory.state()
    order = FlushOrder(*memory.address)
    expected = await world.steps_with(None).preview(order)
    steps = world.steps_with(world.deputised)
    assert await steps.preview(order) == expected
    assert world.deputy.pid is not None
    async with _killing(world.deputy):
        assert await steps.preview(order) == expected
    assert await memory.state() == before


async def test_a_killed_process_is_replaced_in_the_middle_of_a_flush(world: World, redis_client: Redis) -> None:
    """The part that it was at is done again by another one; the flush and its client notice nothing."""
    memory = LiveMemory(redis_client, SUMMED)
    ids = await memory.append(talk(200, tokens=10))
    flushing = asyncio.create_task(flush(world.engine, memory))
    first = await pid_of(world.deputy)
    await freeze(first)
    assert not flushing.done()
    meanwhile = await memory.append(talk(3))
    os.kill(first, signal.SIGKILL)
    outcome = await flushing
    assert outcome.status == "done"
    assert world.deputy.pid != first
    assert await memory.ids() == [*ids, *meanwhile][outcome.removed :]
    await memory.assert_totals()


async def test_one_that_is_killed_again_and_again(world: World, redis_client: Redis) -> None:
    """The flush fails, the memory and its mark are as they were, and a later one succeeds."""
    memory = LiveMemory(redis_client, SUMMED)
    ids = await memory.append(talk(200, tokens=10))
    async with _killing(world.deputy):
        outcome = await flush(world.engine, memory)
    assert (outcome.status, outcome.certain) == ("failed", True)
    assert outcome.error == "the process that worked on the flush was lost (signal SIGKILL); the memory is unchanged"
    assert await memory.ids() == ids
    assert await memory.marked()
    assert (await flush(world.engine, memory)).status == "done"
    await memory.assert_totals()


async def test_without_a_process_the_work_is_done_here(world: World, redis_client: Redis) -> None:
    """Where none can be started, flushes cost the clients more time, and that is all."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE))
    nobody = Deputy((sys.executable, "-c", "raise SystemExit(1)"), environment=environment(), charge=lambda: ANY)
    engine = world.engine_with(lambda own: world.deputised(own, deputy=nobody))
    outcome = await flush(engine, memory)
    preview = await world.steps_with(lambda own: world.deputised(own, deputy=nobody)).preview(
        FlushOrder(*memory.address, force=True)
    )
    await engine.close()
    await nobody.close()
    assert (outcome.status, preview.status) == ("done", "done")
    assert outcome.summary_tokens


async def test_the_engine_closes_in_the_middle(world: World, redis_client: Redis) -> None:
    """A flush that is broken off gives its lease back, and its process ends, whatever it is at."""
    memory = LiveMemory(redis_client, SUMMED)
    ids = await memory.append(talk(200, tokens=10))
    flushing = asyncio.create_task(flush(world.engine, memory))
    pid = await pid_of(world.deputy)
    await freeze(pid)
    async with asyncio.timeout(10):
        await world.engine.close()
        await world.deputy.close()
    assert (await flushing).status == "failed"
    assert not alive(pid)
    assert await memory.ids() == ids
    assert await memory.marked()
    assert "flush_run" not in await memory.meta()


class LostCommit(FlushStore):
    """A store whose commits are made, and whose answers get lost."""

    async def commit(self, lease: Lease, deed: Deed, **others: object) -> CommitReply:
        await super().commit(lease, deed, **others)  # type: ignore[arg-type]
        raise Uncertain("connection closed")


class LostLabour(DeputisedLabour):
    """Labour whose second preparation is lost."""

    prepared = 0

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        self.prepared += 1
        if self.prepared == 2:
            raise DeputyLost("signal SIGKILL")
        return await super().prepare(ticket, definition)


async def test_a_commit_that_may_have_been_made_is_not_called_undone(world: World, redis_client: Redis) -> None:
    """Where the process is lost while a commit is repeated whose answer was lost, the outcome is not certain."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(LARGE))
    steps = FlushSteps(
        store=LostCommit(redis_client, SPACE),
        definitions=DEFINITIONS,
        counter=load_counter,
        summariser=ExtractiveSummariser(),
        deputise=lambda own: LostLabour(own, deputy=world.deputy, store=world.store, metrics=None),
    )
    engine = LocalEngine(steps=steps, space=SPACE, answer_patience_s=30.0)
    outcome = await flush(engine, memory)
    await engine.close()
    assert (outcome.status, outcome.certain) == ("failed", False)
    assert len(await memory.ids()) < LARGE


class _killing:
    """Kills every process of a deputy as soon as it is there."""

    def __init__(self, deputy: Deputy) -> None:
        self._deputy = deputy

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._kill())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _kill(self) -> None:
        while True:
            pid = await pid_of(self._deputy)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda pid=pid: self._deputy.pid != pid)  # type: ignore[misc]
