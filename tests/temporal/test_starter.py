"""Starting and joining runs on a real server, and what the sidecar sees while Temporal is away."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, TerminatedError

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import TemporalServer
from sidecar.errors import EngineUnavailable
from sidecar.flush.ticket import Begun
from sidecar.memory.ports import FlushEngine, FlushOrder
from sidecar.temporal.starter import CALL_SECONDS, TemporalEngine, may_be_made
from tests.support.children import StartTemporal, freeze
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker
from tests.temporal.scripted import ScriptedSteps

ORDER = FlushOrder("chat", "i")
REFUSED_SECONDS = 1.5
"""A refused connection shows at once; the margin is for a busy machine."""


VANISHED_SECONDS = 25.0
"""Interval and timeout of the keep-alive, and the margin."""


@pytest.fixture
async def deserted() -> AsyncIterator[TemporalEngine]:
    """An engine whose address nobody listens on."""
    engine = TemporalEngine(address=f"{LOOPBACK}:{free_port()}")
    yield engine
    await engine.close()


async def test_it_is_a_flush_engine(engine: TemporalEngine) -> None:
    """The engine has everything that the port asks for."""
    port: FlushEngine = engine
    assert port.name == "temporal"
    assert await port.healthy()


async def test_twenty_at_once(engine: TemporalEngine, instance: str) -> None:
    """Of twenty concurrent orders for one memory exactly one starts a run; the others join it and say so."""
    handles = await asyncio.gather(*(engine.start(FlushOrder("chat", instance)) for _ in range(20)))
    assert sorted(handle.started for handle in handles) == [False] * 19 + [True]
    assert len({handle.run_id for handle in handles}) == 1


async def test_each_round_of_twenty_has_one_winner(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """Round after round, with runs that end meanwhile, the runs that were started are those that ran."""
    steps = ScriptedSteps()
    start_worker(steps)
    started: set[str] = set()
    for _ in range(5):
        handles = await asyncio.gather(*(engine.start(FlushOrder("chat", instance)) for _ in range(20)))
        started |= {handle.run_id for handle in handles if handle.started}
        assert {handle.run_id for handle in handles} <= started
        await asyncio.gather(*(handle.outcome() for handle in handles))
    assert sorted(run_id for run_id, _ in steps.orders) == sorted(started)


async def test_a_memory_after_its_flush(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """When a run has ended, the next order starts a new one under the same workflow id."""
    start_worker(ScriptedSteps())
    first = await engine.start(FlushOrder("chat", instance))
    await first.outcome()
    second = await engine.start(FlushOrder("chat", instance))
    assert second.started
    assert (first.workflow_id, first.run_id != second.run_id) == (second.workflow_id, True)
    assert (await first.outcome()).run_id == first.run_id


async def test_a_joined_run_has_an_outcome(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """Whoever joins gets the outcome of the run that was there first."""
    order = FlushOrder("chat", instance)
    first = await engine.start(order)
    joined = await engine.start(order)
    start_worker(ScriptedSteps())
    assert await joined.outcome() == await first.outcome()
    assert not joined.started


async def test_memories_do_not_join_each_other(engine: TemporalEngine, instance: str) -> None:
    """The workflow id names project, definition and instance."""
    one = await engine.start(FlushOrder("chat", instance))
    other = await engine.start(FlushOrder("summed", instance))
    assert one.workflow_id == f"memflush:default:chat:{instance}"
    assert other.started


async def test_projects_do_not_join_each_other(
    engine: TemporalEngine, temporal_server: TemporalServer, task_queue: str, instance: str
) -> None:
    """The same memory of another project has a run of its own."""
    elsewhere = TemporalEngine(address=temporal_server.address, task_queue=task_queue, project="other")
    await engine.start(FlushOrder("chat", instance))
    assert (await elsewhere.start(FlushOrder("chat", instance))).started
    await elsewhere.close()


async def test_how_it_reads_in_the_ui(engine: TemporalEngine, client: Client, task_queue: str, instance: str) -> None:
    """A run shows which memory it is about and why it was started, in its summary, its details and its memo."""
    handle = await engine.start(FlushOrder("chat", instance, force=True))
    run = await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).describe()
    assert run.workflow_type == "MemoryFlush"
    assert run.task_queue == task_queue
    assert await run.static_summary() == f"flush chat:{instance}, forced by a client"
    assert await run.static_details() == (
        f"- project: `default`\n- definition: `chat`\n- instance: `{instance}`\n- reason: `forced by a client`"
    )
    assert await run.memo() == {
        "project": "default",
        "definition": "chat",
        "instance": instance,
        "reason": "forced by a client",
    }


async def test_terminated_in_the_ui(
    engine: TemporalEngine, start_worker: StartWorker, client: Client, instance: str
) -> None:
    """A run that an operator has terminated is a failed flush, with the operator's reason."""
    handle = await engine.start(FlushOrder("chat", instance))
    await client.get_workflow_handle(handle.workflow_id).terminate(reason="maintenance")
    outcome = await handle.outcome()
    assert (outcome.status, outcome.run_id) == ("failed", handle.run_id)
    assert outcome.error == "the run was terminated: maintenance"


async def test_waiting_can_be_given_up(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """Whoever stops waiting for an outcome disturbs neither the run nor others who wait."""
    handle = await engine.start(FlushOrder("chat", instance))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await handle.outcome()
    start_worker(ScriptedSteps())
    assert (await handle.outcome()).status == "done"


async def test_nobody_listens(deserted: TemporalEngine) -> None:
    """While Temporal is down, a start fails at once, every time, and the engine is not healthy."""
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(EngineUnavailable, match="Temporal cannot be reached: Connection refused"):
            await deserted.start(ORDER)
        assert time.monotonic() - began < REFUSED_SECONDS
    assert not await deserted.healthy()


async def test_down_and_up_again(start_temporal: StartTemporal, start_worker: StartWorker, instance: str) -> None:
    """An engine that lost its server fails fast, and works again by itself once the server is back."""
    server = start_temporal()
    engine = TemporalEngine(address=server.address)
    handle = await engine.start(ORDER)
    waiting = asyncio.create_task(handle.outcome())
    server.kill()
    began = time.monotonic()
    with pytest.raises(EngineUnavailable):
        await engine.start(ORDER)
    assert time.monotonic() - began < CALL_SECONDS
    assert not await engine.healthy()
    with pytest.raises(EngineUnavailable, match=f"the outcome of run {handle.run_id}"):
        await waiting
    server.start()
    await eventually(engine.healthy)
    assert (await engine.start(ORDER)).started
    await engine.close()


async def test_a_server_that_hangs(start_temporal: StartTemporal) -> None:
    """A server that accepts and does not answer costs the limit of a call, not more; also for the first call."""
    server = start_temporal()
    connected = TemporalEngine(address=server.address, call_seconds=0.3)
    await connected.start(ORDER)
    await freeze(server.pid)
    try:
        for engine in (connected, TemporalEngine(address=server.address, call_seconds=0.3)):
            began = time.monotonic()
            with pytest.raises(EngineUnavailable):
                await engine.start(ORDER)
            assert time.monotonic() - began < CALL_SECONDS  # which is the limit by default
            assert not await engine.healthy()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await eventually(connected.healthy)


@pytest.mark.long
async def test_a_server_that_hangs_while_somebody_waits(start_temporal: StartTemporal) -> None:
    """Whoever waits for an outcome learns that Temporal no longer answers, as soon as its keep-alive does not."""
    server = start_temporal()
    engine = TemporalEngine(address=server.address)
    handle = await engine.start(ORDER)
    waiting = asyncio.create_task(handle.outcome())
    await eventually(engine.healthy)
    await freeze(server.pid)
    try:
        with pytest.raises(EngineUnavailable):
            async with asyncio.timeout(VANISHED_SECONDS):
                await waiting
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_namespace_that_is_not_there(temporal_server: TemporalServer) -> None:
    """An unknown namespace is an engine that cannot be used, and the error names what Temporal said."""
    engine = TemporalEngine(address=temporal_server.address, namespace="nowhere")
    assert not await engine.healthy()
    with pytest.raises(EngineUnavailable, match=r"Temporal answered NOT_FOUND: .*nowhere"):
        await engine.start(ORDER)


async def test_closed(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A closed engine starts nothing more; runs that were started can still be waited for."""
    handle = await engine.start(FlushOrder("chat", instance))
    await engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await engine.start(FlushOrder("chat", instance))
    assert not await engine.healthy()
    start_worker(ScriptedSteps(begin=[Begun("joined", "x")]))
    assert (await handle.outcome()).status == "done"


@pytest.mark.parametrize(
    ("cause", "may"),
    [
        (ApplicationError("commit_flush: Uncertain: Redis went away", type="Uncertain"), True),
        (ApplicationError("commit_flush: the worker did not answer in time (heartbeat)", type="Timeout"), True),
        (ApplicationError("plan_flush: Unavailable: Redis is away", type="Unavailable"), False),
        (ApplicationError("commit_flush: FlushLocked: somebody holds the lock", type="FlushLocked"), False),
        (TerminatedError("by an operator"), False),
    ],
)
def test_whether_a_failed_run_may_have_committed(cause: Exception, may: bool) -> None:
    """Only where nobody heard what came of the commit; a step before it has changed nothing."""
    assert may_be_made(cause) == may
