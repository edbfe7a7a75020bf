"""The sweep on a real Temporal and a real Redis: the Schedule, and what a sweep does to the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from temporalio.client import (
    Client,
    ScheduleActionStartWorkflow,
    ScheduleOverlapPolicy,
    WorkflowHistory,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from sidecar.dev.servers import TemporalServer
from sidecar.flush.steps import FlushSteps
from sidecar.memory.keys import KeySpace
from sidecar.store.outbox import Outbox
from sidecar.temporal.messages import SWEEP, SweepRequest, SweepResult
from sidecar.temporal.schedule import Sweep, SweepSchedule, schedule_id
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.sweep import SweepActivity
from sidecar.temporal.sweep_workflow import MemorySweep
from tests.flush.memories import CHAT, DEFINITIONS, SPACE, SUMMED, LiveMemory, talk
from tests.support.children import StartTemporal
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker

PATIENCE_S = 30.0
"""For a start on a machine that is busy with other tests."""

FAR_S = 3_600.0
"""An interval in which no test comes to a second sweep."""

ASLEEP = SweepSchedule("default", FAR_S, grace_ms=2**50)
"""For tests that sweep themselves: to the sweep that a new Schedule begins with, every mark is young."""


@pytest.fixture
async def engine(temporal_server: TemporalServer, task_queue: str) -> AsyncIterator[TemporalEngine]:
    """What a sweep starts flushes on."""
    engine = TemporalEngine(address=temporal_server.address, task_queue=task_queue, call_seconds=PATIENCE_S)
    yield engine
    await engine.close()


@pytest.fixture
def project() -> str:
    """A project that no other test has, for a Schedule of its own."""
    return f"p-{uuid4().hex}"


def sweep_of(redis: Redis, engine: TemporalEngine, schedule: SweepSchedule, space: KeySpace = SPACE) -> Sweep:
    """Return a sweep as a worker has it."""
    outbox = Outbox(redis, space)
    return Sweep(schedule, SweepActivity(outbox=outbox, engine=engine, space=space, definitions=DEFINITIONS))


async def swept(client: Client, task_queue: str, *, project: str = "default", grace_ms: int = 0) -> SweepResult:
    """Run one sweep and return its result."""
    result: SweepResult = await client.execute_workflow(
        SWEEP, SweepRequest(project, grace_ms), id=f"s-{uuid4().hex}", task_queue=task_queue, result_type=SweepResult
    )
    return result


async def test_marks_become_flushes(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
    instance: str,
) -> None:
    """Every memory with a mark is flushed, what expired leaves the outbox, and what is not ours stays."""
    due = [LiveMemory(redis_client, (CHAT, SUMMED)[at % 2], f"{instance}-{at}") for at in range(10)]
    for memory in due:
        await memory.append(talk(20))
    expired = [LiveMemory(redis_client, CHAT, f"{instance}-gone-{at}") for at in range(7)]
    expired.append(LiveMemory(redis_client, replace(CHAT, id="unheard-of"), f"{instance}-gone"))
    for memory in expired:
        await memory.mark()
    foreign = LiveMemory(redis_client, replace(CHAT, id="foreign"), instance)
    await foreign.append(talk(20))
    await redis_client.zadd(SPACE.outbox(3), {b"\xff": 1})
    start_worker(steps, sweep=sweep_of(redis_client, engine, ASLEEP))
    result = await swept(client, task_queue)
    # The second, where Temporal was slow and the sweep was tried again: the first try has taken out what is gone.
    assert (result.marks, result.gone) in ((20, 8), (12, 0))
    assert result.left == 2
    assert result.started + result.joined == 10
    for memory in due:
        assert await eventually(lambda memory=memory: is_flushed(memory), limit_s=60)  # type: ignore[misc]
        await memory.assert_totals()
    for memory in expired:
        assert not await memory.marked()
    assert await foreign.marked()


async def is_flushed(memory: LiveMemory) -> bool:
    """Tell whether the memory was flushed and has no mark."""
    return (await memory.meta()).get("last_status") == "done" and not await memory.marked()


async def test_young_marks_are_let_be(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
    instance: str,
) -> None:
    """A mark that its own sidecar is about to serve is left to it."""
    memory = LiveMemory(redis_client, CHAT, instance)
    await memory.append(talk(20))
    start_worker(steps, sweep=sweep_of(redis_client, engine, ASLEEP))
    assert await swept(client, task_queue, grace_ms=600_000) == SweepResult(marks=1)


async def test_many_marks_are_all_looked_at(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
) -> None:
    """A sweep goes on behind its first page, past marks that stay."""
    due = SPACE.outbox(0)
    await redis_client.zadd(due, {f"not a name {number}": number for number in range(50)})
    start_worker(steps, sweep=sweep_of(redis_client, engine, ASLEEP))
    assert await swept(client, task_queue) == SweepResult(marks=50, left=50)


async def test_histories_of_sweeps_hold_counts_only(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
    instance: str,
) -> None:
    """A sweep's history names no memory, and today's workflow replays it."""
    await LiveMemory(redis_client, CHAT, instance).append(talk(20))
    start_worker(steps, sweep=sweep_of(redis_client, engine, ASLEEP))
    handle = await client.start_workflow(
        SWEEP, SweepRequest("default", 0), id=f"s-{instance[2:8]}", task_queue=task_queue
    )
    await handle.result()
    history: WorkflowHistory = await handle.fetch_history()
    assert instance not in history.to_json()
    await Replayer(workflows=[MemorySweep]).replay_workflow(history)


async def test_one_schedule_for_many_workers(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
    project: str,
) -> None:
    """Workers that start together make one Schedule, which sweeps at once, then at the interval, never twice at a
    time; a worker with another interval changes it, and leaves a pause as it is."""
    space = KeySpace(project=project)
    for _ in range(3):
        sweep = sweep_of(redis_client, engine, SweepSchedule(project, FAR_S), space)
        start_worker(steps, project=project, sweep=sweep)
    handle = client.get_schedule_handle(schedule_id(project))

    async def ran() -> bool:
        found = [each async for each in client.list_workflows(f"TaskQueue = '{task_queue}'")]
        return [(each.workflow_type, each.status.name if each.status else "") for each in found] == [
            (SWEEP, "COMPLETED")
        ]

    await eventually(ran, limit_s=30, why="the first sweep did not come")
    schedule = (await handle.describe()).schedule
    assert [each.every for each in schedule.spec.intervals] == [timedelta(seconds=FAR_S)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert (schedule.action.workflow, schedule.action.task_queue) == (SWEEP, task_queue)

    await handle.pause(note="by hand")
    updates = (await handle.describe()).info.last_updated_at
    await SweepSchedule(project, FAR_S).ensure(client, task_queue)
    assert (await handle.describe()).info.last_updated_at == updates
    await SweepSchedule(project, 2 * FAR_S).ensure(client, task_queue)
    changed = (await handle.describe()).schedule
    assert [each.every for each in changed.spec.intervals] == [timedelta(seconds=2 * FAR_S)]
    assert (changed.state.paused, changed.state.note) == (True, "by hand")
    await handle.delete()


async def test_the_schedule_brings_sweeps(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
    project: str,
) -> None:
    """At each interval there is a sweep, without any sidecar: a mark that comes later is served too."""
    space = KeySpace(project=project)
    start_worker(
        steps, project=project, sweep=sweep_of(redis_client, engine, SweepSchedule(project, 1.0, grace_ms=0), space)
    )
    keys = space.keys("chat", "expired")
    await eventually(lambda: sweeps(client, project), limit_s=30)
    await redis_client.zadd(keys.due, {keys.name: 1})
    await eventually(lambda: is_empty(redis_client, keys.due), limit_s=30, why="the mark was not taken out")
    await client.get_schedule_handle(schedule_id(project)).delete()


async def sweeps(client: Client, project: str) -> int:
    """Return how many sweeps the Schedule has brought."""
    try:
        return (await client.get_schedule_handle(schedule_id(project)).describe()).info.num_actions
    except RPCError as problem:
        if problem.status is not RPCStatusCode.NOT_FOUND:
            raise
        return 0  # it is not made yet


async def is_empty(redis: Redis, key: str) -> bool:
    """Tell whether the key is not there."""
    return not await redis.exists(key)


async def test_a_schedule_that_cannot_be_made(start_temporal: StartTemporal, project: str, task_queue: str) -> None:
    """Trouble with the Schedule is told of, and does not keep a worker from its flushes."""
    server = start_temporal()
    client = await Client.connect(server.address)
    server.kill()
    with capture_logs() as logs:
        await asyncio.wait_for(SweepSchedule(project).ensure(client, task_queue), 20)
    assert [entry["event"] for entry in logs] == ["temporal.sweep_not_scheduled"]


async def test_a_foreign_project(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    client: Client,
    task_queue: str,
) -> None:
    """A sweep of another project is refused, instead of sweeping ours in its name."""
    start_worker(steps, sweep=sweep_of(redis_client, engine, ASLEEP))
    handle = await client.start_workflow(SWEEP, SweepRequest("other", 0), id=f"s-{uuid4().hex}", task_queue=task_queue)
    with pytest.raises(Exception, match="Workflow execution failed"):
        await handle.result()
    assert "serves project 'default', not 'other'" in (await handle.fetch_history()).to_json()
