"""The worker through everything that Temporal does to it, and its own end."""

from __future__ import annotations

import asyncio
import time
import warnings

import pytest
from structlog.testing import capture_logs
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import TemporalServer
from sidecar.memory.ports import FlushOrder
from sidecar.metrics import Metrics
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.worker import READY, WATCHDOG_SECONDS, WorkerOptions, run_worker, workflow_runner
from tests.support.children import Children, StartTemporal
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker
from tests.temporal.late_importer import NAME, LateImporter
from tests.temporal.scripted import ScriptedSteps

PROMPT_SECONDS = 5.0
"""What "at once" means on a busy machine."""


async def flushed(address: str, task_queue: str, instance: str) -> str:
    """Flush once and return the status."""
    engine = TemporalEngine(address=address, task_queue=task_queue)
    outcome = await (await engine.start(FlushOrder("chat", instance))).outcome()
    await engine.close()
    return outcome.status


async def test_it_says_when_it_polls(start_worker: StartWorker) -> None:
    """Once it polls, the worker logs the words that its starter waits for."""
    with capture_logs() as logs:
        start_worker(ScriptedSteps())
        await eventually(lambda: any(READY in entry["event"] for entry in logs))


async def test_a_worker_before_its_server(
    children: Children, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """A worker may be started before Temporal: it waits, says why, and works once Temporal is there."""
    server = TemporalServer(port=free_port())
    with capture_logs() as logs:
        worker = start_worker(ScriptedSteps(), address=server.address)
        await eventually(lambda: len(logs) >= 2)
        assert {entry["error"] for entry in logs} == {"Temporal cannot be reached: Connection refused"}
        assert not worker.done()
        children.add(server, wait=False)
        await asyncio.to_thread(server.wait_ready)
        assert await flushed(server.address, task_queue, instance) == "done"


async def test_a_server_that_restarts(
    start_temporal: StartTemporal, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """A worker outlives its server and works for the one that comes back at the same address."""
    server = start_temporal()
    start_worker(ScriptedSteps(), address=server.address)
    assert await flushed(server.address, task_queue, instance) == "done"
    server.kill()
    server.start()
    assert await flushed(server.address, task_queue, instance) == "done"


async def test_a_namespace_that_comes_late(
    start_worker: StartWorker, temporal_server: TemporalServer, task_queue: str, instance: str
) -> None:
    """A worker whose namespace does not exist waits for it, instead of ending."""
    stop = asyncio.Event()
    with capture_logs() as logs:
        worker = asyncio.create_task(
            run_worker(
                activities=FlushActivities(steps=ScriptedSteps(), metrics=Metrics(), project="default"),
                stop=stop,
                address=temporal_server.address,
                namespace="nowhere",
                task_queue=task_queue,
            )
        )
        await eventually(lambda: [line for line in logs if "nowhere" in line.get("error", "")])
        assert not worker.done()
        stop.set()
        await worker


async def test_it_stops_at_once_when_idle(start_worker: StartWorker) -> None:
    """An idle worker stops without using up its grace."""
    stop = asyncio.Event()
    with capture_logs() as logs:
        worker = start_worker(ScriptedSteps(), stop=stop, grace_seconds=30)
        await eventually(lambda: any(READY in entry["event"] for entry in logs))
        began = time.monotonic()
        stop.set()
        await worker
    assert time.monotonic() - began < PROMPT_SECONDS


@pytest.mark.parametrize("polls", [True, False])
async def test_it_stops_while_temporal_is_down(start_temporal: StartTemporal, task_queue: str, polls: bool) -> None:
    """A worker that is told to stop does so while Temporal is away too, whether or not it had ever polled."""
    server = start_temporal()
    address = server.address if polls else f"{LOOPBACK}:{free_port()}"
    stop = asyncio.Event()
    with capture_logs() as logs:
        activities = FlushActivities(steps=ScriptedSteps(), metrics=Metrics(), project="default")
        worker = asyncio.create_task(
            run_worker(
                activities=activities,
                stop=stop,
                address=address,
                task_queue=task_queue,
                options=WorkerOptions(grace_seconds=0.5),
            )
        )
        await eventually(lambda: len(logs) > 0)
        server.kill()
        began = time.monotonic()
        stop.set()
        await worker
    assert time.monotonic() - began < 0.5 + WATCHDOG_SECONDS + PROMPT_SECONDS


async def test_running_steps_may_finish(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A step that runs when the worker is told to stop finishes within the grace."""
    stop = asyncio.Event()

    async def slow() -> int:
        await activity.wait_for_worker_shutdown()
        await asyncio.sleep(0.2)  # what is left to do
        return 7

    steps = ScriptedSteps(summarise=[slow])
    worker = start_worker(steps, stop=stop, grace_seconds=30)
    handle = await engine.start(FlushOrder("chat", instance))
    await eventually(lambda: "summarise" in steps.calls)
    stop.set()
    await worker
    successor = ScriptedSteps()
    start_worker(successor)
    assert (await handle.outcome()).status == "done"
    assert successor.calls == ["commit"]


async def test_a_step_that_does_not_end(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A step that outlasts the grace is cancelled, and another worker takes it at once, not after a timeout."""
    cancelled, stop = asyncio.Event(), asyncio.Event()

    async def endless() -> int:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return 0

    steps = ScriptedSteps(summarise=[endless])
    worker = start_worker(steps, stop=stop, grace_seconds=0.2)
    handle = await engine.start(FlushOrder("chat", instance))
    await eventually(lambda: "summarise" in steps.calls)
    stop.set()
    await worker
    assert cancelled.is_set()
    successor = ScriptedSteps()
    start_worker(successor)
    async with asyncio.timeout(5):
        assert (await handle.outcome()).status == "done"
    assert successor.calls == ["summarise", "commit"]


async def test_a_step_that_cannot_be_cancelled(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """A step that ignores its cancellation does not keep the worker from ending, and the log says so."""
    stop, release = asyncio.Event(), asyncio.Event()

    async def stubborn() -> int:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return 0

    steps = ScriptedSteps(summarise=[stubborn])
    with capture_logs() as logs:
        worker = start_worker(steps, stop=stop, grace_seconds=0.1)
        await engine.start(FlushOrder("chat", instance))
        await eventually(lambda: "summarise" in steps.calls)
        stop.set()
        await worker
    assert "temporal.worker_left_behind" in [entry["event"] for entry in logs]
    release.set()


async def test_cancelling_the_worker(
    engine: TemporalEngine, temporal_server: TemporalServer, task_queue: str, instance: str
) -> None:
    """Cancelling the task of a worker stops it properly: its steps may finish, and the cancellation is passed on."""
    release = asyncio.Event()
    finished: list[bool] = []

    async def slow() -> int:
        await release.wait()
        finished.append(True)
        return 7

    steps = ScriptedSteps(summarise=[slow])
    activities = FlushActivities(steps=steps, metrics=Metrics(), project="default")
    worker = asyncio.create_task(
        run_worker(activities=activities, stop=asyncio.Event(), address=temporal_server.address, task_queue=task_queue)
    )
    await engine.start(FlushOrder("chat", instance))
    await eventually(lambda: "summarise" in steps.calls)
    worker.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert finished == [True]


async def test_the_limit_of_steps(
    engine: TemporalEngine, temporal_server: TemporalServer, task_queue: str, instance: str
) -> None:
    """A worker runs as many steps at once as it may, and the others after them."""
    limit, orders = 2, 4
    release, stop, too_many = asyncio.Event(), asyncio.Event(), asyncio.Event()
    running: list[int] = []

    async def slow() -> int:
        running.append(1)
        if len(running) > limit:
            too_many.set()
        await release.wait()
        running.pop()
        return 7

    steps = ScriptedSteps(summarise=[slow] * orders)
    worker = asyncio.create_task(
        run_worker(
            activities=FlushActivities(steps=steps, metrics=Metrics(), project="default"),
            stop=stop,
            address=temporal_server.address,
            task_queue=task_queue,
            options=WorkerOptions(max_steps=limit),
        )
    )
    handles = [await engine.start(FlushOrder("chat", f"{instance}-{number}")) for number in range(orders)]
    await eventually(lambda: len(running) == limit)
    with pytest.raises(TimeoutError):  # a third one would come within a tenth of this
        await asyncio.wait_for(too_many.wait(), 0.5)
    release.set()
    outcomes = await asyncio.gather(*(handle.outcome() for handle in handles))
    assert [outcome.status for outcome in outcomes] == ["done"] * orders
    stop.set()
    await worker


async def test_the_end_of_a_pool_is_no_late_import(client: Client, task_queue: str, instance: str) -> None:
    """What redis-py imports while a workflow runs is what the process has, and nobody is warned of it."""
    runner = workflow_runner()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with Worker(client, task_queue=task_queue, workflows=[LateImporter], workflow_runner=runner):
            done = await client.execute_workflow(NAME, id=instance, task_queue=task_queue)
    assert done == "record_connection_count"
    assert not [str(each.message) for each in warned if "imported after" in str(each.message)]
