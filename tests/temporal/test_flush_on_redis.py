"""Whole flushes through a real Temporal on a real Redis: what is left of the memory, and what Temporal got to see."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from temporalio.api.enums.v1 import TimeoutType
from temporalio.client import Client

from sidecar.dev.servers import TemporalServer
from sidecar.flush.steps import FlushSteps
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.memory.stored_message import StoredMessage
from sidecar.temporal.starter import TemporalEngine, TemporalHandle
from tests.flush.memories import SUMMED, LiveMemory, talk
from tests.support.children import Children, freeze
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker, TurnedSummariser
from tests.temporal.worker_program import HELD, WorkerProgram

SECRET = "kingfisher"
"""A word of the conversation that Temporal must never see."""


@pytest.fixture
def memory(redis_client: Redis, instance: str) -> LiveMemory:
    """A memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED, instance)


@pytest.fixture
def start_program(
    children: Children, redis_url: str, temporal_server: TemporalServer, task_queue: str
) -> Callable[[str | None], WorkerProgram]:
    """Factory of workers that can be killed; the argument is the step that stands still."""

    def start(hold: str | None) -> WorkerProgram:
        address = temporal_server.address
        program = WorkerProgram(redis_url=redis_url, address=address, task_queue=task_queue, hold=hold)
        return children.add(program)

    return start


def order(memory: LiveMemory, *, force: bool = False) -> FlushOrder:
    """Return the order to flush it."""
    return FlushOrder(*memory.address, force)


async def held(redis: Redis) -> None:
    """Wait until a worker program has come to stand still."""
    await eventually(lambda: redis.exists(HELD), why="no worker came to the step that it is to stand still in")


async def assert_flushed_once(memory: LiveMemory, outcome: FlushOutcome, before: list[str]) -> None:
    """Fail unless one commit happened: the oldest messages are gone, a summary stands for them, no others."""
    left = await memory.ids()
    meta = await memory.meta()
    assert outcome.status == "done"
    assert 0 < outcome.removed < len(before)
    assert left == before[outcome.removed :]
    assert meta["summary"] == f"first {outcome.removed} messages"
    assert meta["summary_messages"] == str(outcome.removed)
    assert meta["last_status"] == "done"
    assert "flush_run" not in meta
    assert not await memory.marked()
    await memory.assert_totals()


async def test_over_the_threshold(
    engine: TemporalEngine, start_worker: StartWorker, steps: FlushSteps, memory: LiveMemory
) -> None:
    """A memory that is due loses its oldest messages to a summary, and the outcome says what was done."""
    before = await memory.append(talk(20))
    start_worker(steps)
    handle = await engine.start(order(memory))
    outcome = await handle.outcome()
    await assert_flushed_once(memory, outcome, before)
    meta = await memory.meta()
    assert replace(outcome, duration_ms=0) == FlushOutcome(
        "done", handle.run_id, "hybrid_summary", 12, 8, 400, 600, int(meta["summary_tokens"])
    )
    assert meta["last_run"] == handle.run_id


async def test_under_the_threshold(
    engine: TemporalEngine, start_worker: StartWorker, steps: FlushSteps, memory: LiveMemory
) -> None:
    """A memory that is not due is left alone, and a mark that says otherwise is taken back."""
    before = await memory.append(talk(10))
    await memory.mark()
    start_worker(steps)
    outcome = await (await engine.start(order(memory))).outcome()
    assert (outcome.status, outcome.messages, outcome.tokens) == ("not-due", 10, 500)
    assert await memory.ids() == before
    assert not await memory.marked()


async def test_forced(engine: TemporalEngine, start_worker: StartWorker, steps: FlushSteps, memory: LiveMemory) -> None:
    """With force a memory is flushed below its threshold too."""
    before = await memory.append(talk(14))
    start_worker(steps)
    outcome = await (await engine.start(order(memory, force=True))).outcome()
    await assert_flushed_once(memory, outcome, before)


async def test_an_unknown_memory(
    engine: TemporalEngine, start_worker: StartWorker, steps: FlushSteps, instance: str
) -> None:
    """A definition that the worker does not have fails for good, and the reason says what to do about it."""
    start_worker(steps)
    outcome = await (await engine.start(FlushOrder("unheard-of", instance))).outcome()
    assert outcome.status == "failed"
    assert "this worker and the sidecar must have the same definitions" in outcome.error


async def test_twenty_orders_are_one_flush(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    summariser: TurnedSummariser,
) -> None:
    """Twenty concurrent orders end in one summary and one commit, and all get its outcome."""
    before = await memory.append(talk(20))
    start_worker(steps)
    handles: list[TemporalHandle] = await asyncio.gather(*(engine.start(order(memory)) for _ in range(20)))
    outcomes = await asyncio.gather(*(handle.outcome() for handle in handles))
    assert len({outcome.run_id for outcome in outcomes if outcome.status == "done"}) == 1
    await assert_flushed_once(memory, next(o for o in outcomes if o.status == "done"), before)
    assert len(summariser.calls) == 1


async def test_appends_while_it_runs(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    summariser: TurnedSummariser,
) -> None:
    """What is appended during the flush is kept, and if it goes over the threshold again the same run sees to it."""
    before = await memory.append(talk(20))
    appended: list[str] = []

    async def append(*_: object) -> str:
        appended.extend(await memory.append(talk(17, content="meanwhile")))
        return "in the middle of the flush"

    summariser.next = append
    start_worker(steps)
    outcome = await (await engine.start(order(memory))).outcome()
    assert outcome.status == "done"
    assert len(summariser.calls) == 2
    assert await memory.ids() == [*before, *appended][outcome.removed :]
    assert (await memory.meta())["summary_messages"] == str(outcome.removed)
    assert not await memory.marked()
    await memory.assert_totals()


@pytest.mark.parametrize("order_of", [{}, {"strategy": "fifo"}, {"target_tokens": 200}])
async def test_as_ordered(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    order_of: dict[str, Any],
) -> None:
    """Strategy and target of an order travel through Temporal to the plan."""
    await memory.append(talk(20))
    start_worker(steps)
    outcome = await (await engine.start(FlushOrder(*memory.address, **order_of))).outcome()
    expected = {"": ("hybrid_summary", 8), "strategy": ("fifo", 10), "target_tokens": ("hybrid_summary", 2)}
    assert (outcome.strategy, outcome.messages) == expected["".join(order_of)]
    await memory.assert_totals()


async def test_locked_by_an_agent(
    engine: TemporalEngine, start_worker: StartWorker, steps: FlushSteps, memory: LiveMemory, client: Client
) -> None:
    """A run waits for the end of an agent's turn, in which its messages stay, and then finishes with one summary."""
    before = await memory.append(talk(20))
    await memory.lock()
    start_worker(steps)
    handle = await engine.start(order(memory))
    run = client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id)

    async def refused() -> bool:
        pending = (await run.describe()).raw_description.pending_activities
        return any(step.last_failure.application_failure_info.type == "FlushLocked" for step in pending)

    locked: bool = await eventually(refused, why="the commit was not kept out")
    assert locked
    assert await memory.ids() == before
    await memory.unlock()
    await assert_flushed_once(memory, await handle.outcome(), before)


@pytest.mark.parametrize("hand", ["delete", "write"])
async def test_messages_that_go_while_it_runs(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    summariser: TurnedSummariser,
    hand: str,
) -> None:
    """When messages are deleted or replaced under a run, it begins anew, on what is there then."""
    before = await memory.append(talk(20))
    left: list[str] = []

    async def take_away(*_: object) -> str:
        if hand == "delete":
            await memory.delete(before[3])
        else:
            await memory.write(talk(19, content="another"))
        left.extend(await memory.ids())
        return "of what is gone"

    summariser.next = take_away
    start_worker(steps)
    outcome = await (await engine.start(order(memory))).outcome()
    assert len(summariser.calls) == 2
    await assert_flushed_once(memory, outcome, left)


async def test_cancelled_while_it_runs(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    summariser: TurnedSummariser,
    client: Client,
) -> None:
    """A run that is cancelled leaves the memory and its mark as they were, and gives the lease back."""
    before = await memory.append(talk(20))
    summarising = asyncio.Event()

    async def never(*_: object) -> str:
        summarising.set()
        await asyncio.get_running_loop().create_future()
        return "never"

    summariser.next = never
    start_worker(steps, grace_seconds=0.1)
    handle = await engine.start(order(memory))
    await summarising.wait()
    await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).cancel()
    assert (await handle.outcome()).status == "failed"
    meta = await memory.meta()
    assert (meta["last_status"], meta["last_error"]) == ("failed", "cancelled")
    assert "flush_run" not in meta
    assert await memory.ids() == before
    assert await memory.marked()


async def test_a_worker_is_killed_before_the_commit(
    engine: TemporalEngine,
    start_program: Callable[[str | None], WorkerProgram],
    memory: LiveMemory,
    client: Client,
) -> None:
    """If the worker is killed between plan and commit, its heartbeat is missed and another one finishes the same
    run, with one commit."""
    before = await memory.append(talk(20))
    doomed = start_program("commit")
    handle = await engine.start(order(memory))
    await held(memory.redis)
    doomed.kill()
    start_program(None)
    outcome = await handle.outcome()
    await assert_flushed_once(memory, outcome, before)
    assert (await memory.meta())["fence"] == "1"
    history = await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).fetch_history()
    tries = [
        event.activity_task_started_event_attributes
        for event in history.events
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert [started.attempt for started in tries] == [1, 1, 1, 2]
    missed = tries[-1].last_failure.timeout_failure_info
    assert missed.timeout_type == TimeoutType.TIMEOUT_TYPE_HEARTBEAT


@pytest.mark.long
async def test_a_worker_freezes(
    engine: TemporalEngine, start_program: Callable[[str | None], WorkerProgram], memory: LiveMemory
) -> None:
    """If a worker goes silent in a step, the step is given to another one after the heartbeat timeout, and what
    the frozen one does when it comes back counts for nothing."""
    before = await memory.append(talk(20))
    frozen = start_program("summarise")
    handle = await engine.start(order(memory))
    await held(memory.redis)
    await freeze(frozen.pid)
    start_program(None)
    outcome = await handle.outcome()
    os.kill(frozen.pid, signal.SIGCONT)
    await assert_flushed_once(memory, outcome, before)
    assert (await memory.meta())["fence"] == "1"


async def test_temporal_sees_no_text(
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    memory: LiveMemory,
    summariser: TurnedSummariser,
    client: Client,
) -> None:
    """Neither a message nor a summary is in any history, of a flush that went well or of one that failed."""

    async def telling(*_: object) -> str:
        return f"about a {SECRET}"

    async def leaking(earlier: str, messages: Sequence[StoredMessage]) -> str:
        raise ValueError(f"the model refused: {messages[0].content}") from RuntimeError(SECRET)

    await memory.append(talk(20, content=SECRET))
    start_worker(steps)
    summariser.next = telling
    good = await engine.start(order(memory))
    assert (await good.outcome()).status == "done"
    assert SECRET in (await memory.meta())["summary"]

    await memory.append(talk(20, content=SECRET))
    summariser.next = leaking
    bad = await engine.start(order(memory))
    run = client.get_workflow_handle(bad.workflow_id, run_id=bad.run_id)
    await eventually(lambda: pending_failure(run), why="the failing step was not tried")
    await run.cancel()
    assert (await bad.outcome()).status == "failed"

    for handle in (good, bad):
        history = await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).fetch_history()
        seen = list(texts(json.loads(history.to_json())))
        assert any(memory.instance in text for text in seen)
        assert not [text for text in seen if SECRET in text]
    assert SECRET not in str(await run.describe())


async def pending_failure(run: Any) -> bool:
    """Tell whether a step of the run has failed and waits for its next try."""
    description = (await run.describe()).raw_description
    assert SECRET not in str(description)
    return any(activity.HasField("last_failure") for activity in description.pending_activities)


def texts(part: Any) -> Iterator[str]:
    """Yield every text in a history as JSON, payloads decoded."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield name
            yield from texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts(value)
    elif isinstance(part, str):
        yield part
        with suppress(ValueError):
            yield base64.b64decode(part, validate=True).decode()
