"""Temporal keeps no text of a conversation: every way that a flush can take, and then a look at all that is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis
from temporalio.client import Client

from sidecar.dev.servers import TemporalServer
from sidecar.errors import SummariserRefused
from sidecar.flush.steps import FlushSteps
from sidecar.memory.ports import FlushOrder
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.outbox import Outbox
from sidecar.temporal.messages import SWEEP, SweepRequest, SweepResult
from sidecar.temporal.schedule import Sweep, SweepSchedule
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.sweep import SweepActivity
from tests.flush.memories import DEFINITIONS, SPACE, SUMMED, Entry, LiveMemory, talk
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker, TurnedSummariser
from tests.temporal.histories_seen import everything_kept

SAID, CALLED, SUMMED_UP, RAISED = "kingfisher", "cormorant", "sandpiper", "oystercatcher"
"""Canaries: in messages, in the arguments of tools, in summaries, and in the errors of a summariser."""

PATIENCE_S = 30.0
"""For calls on a machine that is busy with other tests."""


@pytest.fixture
async def engine(temporal_server: TemporalServer, task_queue: str) -> AsyncIterator[TemporalEngine]:
    """What starts the flushes."""
    engine = TemporalEngine(address=temporal_server.address, task_queue=task_queue, call_seconds=PATIENCE_S)
    yield engine
    await engine.close()


def conversation() -> list[Entry]:
    """Return turns with a canary each, and one in the arguments of a tool call."""
    arguments = json.dumps({"bird": CALLED})
    call = {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": arguments}}]}
    turns = talk(19, content=SAID)
    return [*turns, ("assistant", "", 50, json.dumps(call))]


async def telling(*_: object) -> str:
    """Summarise with a canary."""
    return f"about a {SUMMED_UP}"


async def quoting(earlier: str, messages: Sequence[StoredMessage]) -> str:
    """Fail as a client does that quotes its request."""
    raise ValueError(f"{RAISED}: could not do {messages[0].content}") from RuntimeError(RAISED)


async def refusing(*_: object) -> str:
    """Fail for good, so that the flush falls back to sentences of the messages."""
    raise SummariserRefused("a bad key") from RuntimeError(RAISED)


async def test_no_way_of_a_flush_shows_text(
    redis_client: Redis,
    engine: TemporalEngine,
    start_worker: StartWorker,
    steps: FlushSteps,
    summariser: TurnedSummariser,
    client: Client,
    task_queue: str,
    instance: str,
) -> None:
    """Flushes that go well, are tried again, fall back, begin anew, are cancelled, and sweeps: nothing that Temporal
    keeps of them (payloads, failures, memo, user metadata) holds a word of messages, summaries, arguments or errors."""
    sweep = SweepActivity(outbox=Outbox(redis_client, SPACE), engine=engine, space=SPACE, definitions=DEFINITIONS)
    start_worker(steps, sweep=Sweep(SweepSchedule("default", 3_600), sweep), grace_seconds=0.1)

    async def memory_of(name: str) -> LiveMemory:
        memory = LiveMemory(redis_client, SUMMED, f"{instance}-{name}")
        await memory.append(conversation())
        return memory

    for name, answer in (("well", telling), ("again", quoting), ("fallback", refusing)):
        memory = await memory_of(name)
        summariser.next = answer
        outcome = await (await engine.start(FlushOrder(*memory.address))).outcome()
        assert outcome.status == "done", (name, outcome.error)
        await memory.assert_totals()
        if name == "fallback":
            assert SAID in (await memory.meta())["summary"]

    memory = await memory_of("anew")

    async def taking_away(*_: object) -> str:
        await memory.delete((await memory.ids())[3])
        return f"about a {SUMMED_UP}"

    summariser.next = taking_away
    assert (await (await engine.start(FlushOrder(*memory.address))).outcome()).status == "done"

    memory = await memory_of("cancelled")
    reached = asyncio.Event()

    async def never(*_: object) -> str:
        reached.set()
        await asyncio.get_running_loop().create_future()
        return SUMMED_UP

    summariser.next = never
    handle = await engine.start(FlushOrder(*memory.address))
    await asyncio.wait_for(reached.wait(), PATIENCE_S)
    await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).cancel()
    assert (await handle.outcome()).status == "failed"

    swept: SweepResult = await client.execute_workflow(
        SWEEP, SweepRequest("default", 0), id=f"s-{instance}", task_queue=task_queue, result_type=SweepResult
    )
    assert swept.started + swept.joined == 1
    assert await eventually(lambda: flushed(memory), limit_s=PATIENCE_S)

    async def listed() -> list[str]:
        runs, kept = await everything_kept(client, task_queue)
        return kept if runs >= 7 else []

    seen = await eventually(listed, limit_s=PATIENCE_S, why="not all runs are listed")
    for shown in ("-well", "-again", "-fallback", "-anew", "-cancelled", "SummariserRefused", "stale-fence"):
        assert [text for text in seen if shown in text], f"the look missed what has '{shown}'"
    for canary in (SAID, CALLED, SUMMED_UP, RAISED):
        assert not [text for text in seen if canary in text]


async def flushed(memory: LiveMemory) -> bool:
    """Tell whether the memory was flushed and has no mark."""
    return (await memory.meta()).get("last_status") == "done" and not await memory.marked()
