"""The steps of a flush on a real Redis: one after the other, repeated, broken off, and overtaken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from sidecar.flush.steps import LONGEST_ERROR, FlushSteps
from sidecar.flush.ticket import PlanFacts
from sidecar.memory.ports import FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.flush_store import CONTENT_PAGE
from tests.flush.memories import (
    CHAT,
    SUMMED,
    Entry,
    LiveMemory,
    NotingSummariser,
    counted,
    talk,
)
from tests.flush.stepping import begin, flush

CALL: Entry = ("assistant", "", 20, '{"tool_calls":[{"id":"c1","type":"function"}]}')
RESULT: Entry = ("tool", "42", 20, '{"tool_call_id":"c1"}')


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed without a summary."""
    return LiveMemory(redis_client, CHAT)


@pytest.fixture
def summed(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED)


async def test_a_flush_without_a_summary(steps: FlushSteps, memory: LiveMemory) -> None:
    """The oldest messages go until the target is reached, and the outcome says what was done."""
    ids = await memory.append(talk(20))
    outcome = await flush(steps, memory)
    assert await memory.ids() == ids[10:]
    assert replace(outcome, duration_ms=0) == FlushOutcome(
        "done", "a", "fifo", removed=10, messages=10, tokens=500, tokens_freed=500
    )
    await memory.assert_totals()
    assert not await memory.marked()


async def test_a_flush_with_a_summary(steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser) -> None:
    """The summary is made of the texts that go, within its budget, and counts as a system message."""
    ids = await summed.append([("system", "be kind", 10), *talk(20)])
    texts = await summed.messages()
    outcome = await flush(steps, summed)
    # 100 tokens are reserved for the summary: 10 + 7 * 50 + 100 <= 500.
    assert await summed.ids() == [ids[0], *ids[14:]]
    # Of the 100, a system message takes 3, its role one word and the heading five.
    assert summariser.calls == [("", texts[1:14], 91)]
    meta = await summed.meta()
    assert meta["summary"] == "first 13 messages"
    assert meta["summary_tokens"] == str(3 + 1 + 5 + 3)
    assert (meta["summary_first"], meta["summary_last"], meta["summary_messages"]) == (ids[1], ids[13], "13")
    assert (outcome.removed, outcome.tokens_freed, outcome.summary_tokens) == (13, 650, 12)
    await summed.assert_totals()


async def test_the_next_summary_continues_the_last(
    steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser
) -> None:
    """The second flush gives the summariser the first summary and only the messages that go now."""
    await summed.append(talk(20))
    await flush(steps, summed)
    left = await summed.messages()
    await summed.append(talk(12))
    await flush(steps, summed, "b")
    earlier, messages, _ = summariser.calls[1]
    assert earlier == "first 12 messages"
    assert messages[: len(left)] == left
    assert (await summed.meta())["summary"] == f"first 12 messages then {len(messages)} messages"
    await summed.assert_totals()


async def test_instructions_and_tool_pairs_stay_whole(steps: FlushSteps, memory: LiveMemory) -> None:
    """System messages stay wherever they are; a tool call goes with its result, or both stay."""
    entries = [*talk(3), ("system", "be kind", 10), CALL, RESULT, *talk(14), ("developer", "be brief", 10)]
    await memory.append([*entries, CALL, RESULT, ("user", "thanks", 50)])
    await flush(steps, memory)
    roles = [message.role for message in await memory.messages()]
    assert roles[0] == "system"
    assert "developer" in roles
    assert roles.count("tool") == 1
    assert roles.index("tool") == max(at for at, role in enumerate(roles) if role == "assistant") + 1
    await memory.assert_totals()
    meta = await memory.meta()
    assert (meta["kept_messages"], meta["kept_tokens"]) == ("2", "20")


async def test_kept_messages_stay_whatever_their_role(steps: FlushSteps, memory: LiveMemory) -> None:
    """A message whose id is among the kept ones is not removed."""
    ids = await memory.append(talk(20))
    await memory.redis.zadd(memory.keys.keep, {ids[2]: 1})
    await flush(steps, memory)
    assert (await memory.ids())[0] == ids[2]


async def test_a_large_memory(steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser) -> None:
    """20,000 messages behind a system prompt are flushed, each removed text is summarised, none is lost."""
    ids = await summed.append([("system", "be kind", 10), *talk(20_000, tokens=1)])
    before = await summed.messages()
    progress: list[None] = []
    ticket = await begin(steps, summed)
    plan = await steps.plan(ticket)
    await steps.summarise(ticket, lambda: progress.append(None))
    await steps.commit(ticket)
    after = await summed.messages()
    assert plan == PlanFacts(19_610, 19_610, summarise=True, nothing=False, reached=True)
    assert [message.id for message in after] == [ids[0], *ids[-390:]]
    assert summariser.calls[0][1] == before[1:-390]
    assert len(progress) >= 19_610 / CONTENT_PAGE
    await summed.assert_totals()


async def test_forced_below_the_threshold(steps: FlushSteps, memory: LiveMemory) -> None:
    """Forced, a memory below its threshold is brought down to half of what it has."""
    await memory.append(talk(8))
    outcome = await flush(steps, memory, force=True)
    assert (outcome.status, outcome.messages) == ("done", 4)


async def test_the_forced_summary_has_the_smaller_budget(
    steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser
) -> None:
    """A summary that is forced out of a small memory is no longer than half of what is left."""
    await summed.append(talk(4, tokens=40))
    await flush(steps, summed, force=True)
    assert summariser.calls[0][2] == 40 - 9


async def test_not_due(steps: FlushSteps, memory: LiveMemory) -> None:
    """A memory below its threshold is left alone, and the outcome has its totals."""
    await memory.append(talk(3))
    begun = await steps.begin(*memory.address, run_id="a", force=False)
    assert (begun.status, begun.outcome) == ("not-due", FlushOutcome("not-due", "a", messages=3, tokens=150))


async def test_a_memory_that_does_not_exist_is_not_due(steps: FlushSteps, memory: LiveMemory) -> None:
    """There is nothing to flush in nothing, forced or not."""
    begun = await steps.begin(*memory.address, run_id="a", force=True)
    assert (begun.status, begun.outcome) == ("not-due", FlushOutcome("not-due", "a"))


async def test_joined(steps: FlushSteps, memory: LiveMemory) -> None:
    """A second run learns who is at work."""
    await memory.append(talk(20))
    await begin(steps, memory, "a")
    begun = await steps.begin(*memory.address, run_id="b", force=True)
    assert (begun.status, begun.run_id, begun.ticket) == ("joined", "a", None)


async def test_nothing_to_remove_is_committed(steps: FlushSteps, memory: LiveMemory) -> None:
    """A memory full of instructions loses nothing, its mark goes, and the flush is recorded."""
    ids = await memory.append([("system", "be kind", 50)] * 20)
    ticket = await begin(steps, memory)
    plan = await steps.plan(ticket)
    assert plan == PlanFacts(0, 0, summarise=False, nothing=True, reached=False)
    outcome = await steps.commit(ticket)
    assert (outcome.status, outcome.removed, outcome.again) == ("done", 0, False)
    assert await memory.ids() == ids
    assert not await memory.marked()
    assert (await memory.meta())["last_run"] == "a"


async def test_appends_between_all_steps_stay(steps: FlushSteps, summed: LiveMemory) -> None:
    """Whatever is appended while a flush runs is there afterwards, and asks for the next round."""
    await summed.append(talk(20))
    ticket = await begin(steps, summed)
    new = await summed.append(talk(6))
    await steps.plan(ticket)
    new += await summed.append(talk(6))
    await steps.summarise(ticket, lambda: None)
    new += await summed.append(talk(6))
    outcome = await steps.commit(ticket)
    assert (await summed.ids())[-len(new) :] == new
    assert outcome.again
    assert await summed.marked()
    await summed.assert_totals()


async def test_every_step_may_be_repeated(
    steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser, metrics: Metrics
) -> None:
    """Each step executed twice, as after a lost answer, gives the same result and the same memory."""
    await summed.append(talk(20))
    first, ticket = await begin(steps, summed), await begin(steps, summed)
    assert (first.fence, first.last_id) == (ticket.fence, ticket.last_id)
    assert await steps.plan(ticket) == await steps.plan(ticket)
    assert await steps.summarise(ticket, lambda: None) == await steps.summarise(ticket, lambda: None)
    assert len(summariser.calls) == 1
    assert await steps.commit(ticket) == await steps.commit(ticket)
    begun = await steps.begin(*summed.address, run_id="a", force=False)
    assert begun.status == "done"
    assert begun.outcome == await steps.commit(ticket)
    await steps.fail(ticket, "too late")
    assert (await summed.meta())["last_status"] == "done"
    await summed.assert_totals()
    assert counted(metrics, "flush_runs_total", strategy="hybrid_summary", outcome="done") == 1
    assert counted(metrics, "flush_runs_total", strategy="hybrid_summary", outcome="failed") == 0


async def test_fail_keeps_a_short_line(steps: FlushSteps, memory: LiveMemory, metrics: Metrics) -> None:
    """The recorded error is one line of bounded length, and the failure is counted."""
    await memory.append(talk(20))
    ticket = await begin(steps, memory)
    await steps.fail(ticket, "first\n  second " + "x" * LONGEST_ERROR)
    error = (await memory.meta())["last_error"]
    assert error.startswith("first second xxx")
    assert len(error) == LONGEST_ERROR
    assert counted(metrics, "flush_runs_total", strategy="fifo", outcome="failed") == 1


async def test_the_metrics_of_a_flush(steps: FlushSteps, summed: LiveMemory, metrics: Metrics) -> None:
    """What was freed and summed up is counted once."""
    await summed.append(talk(20))
    await flush(steps, summed)
    assert counted(metrics, "flush_runs_total", strategy="hybrid_summary", outcome="done") == 1
    assert counted(metrics, "flush_messages_freed_total") == 12
    assert counted(metrics, "flush_tokens_freed_total") == 600
    assert counted(metrics, "flush_summaries_tokens_total") == 12


async def test_outcome_of_another_process(steps: FlushSteps, memory: LiveMemory) -> None:
    """A run is followed from outside: running, done, and lost when its lease runs out."""
    await memory.append(talk(20))
    ticket = await begin(steps, memory, "a")
    assert await steps.outcome_of(*memory.address, "a") is None
    await steps.plan(ticket)
    done = await steps.commit(ticket)
    assert await steps.outcome_of(*memory.address, "a") == done
    await memory.append(talk(20))
    ticket = await begin(steps, memory, "b")
    await memory.lose_lease()
    lost = await steps.outcome_of(*memory.address, "b")
    assert lost is not None
    assert (lost.status, lost.run_id) == ("failed", "b")
    await steps.fail(ticket, "no model")
    failed = await steps.outcome_of(*memory.address, "b")
    assert failed is not None
    assert (failed.status, failed.error) == ("failed", "no model")


async def test_the_outcome_of_a_cleared_memory(steps: FlushSteps, memory: LiveMemory) -> None:
    """Whoever waits for a flush whose memory was cleared is not left waiting."""
    await memory.append(talk(20))
    await begin(steps, memory, "a")
    await memory.clear()
    outcome = await steps.outcome_of(*memory.address, "a")
    assert outcome is not None
    assert outcome.status == "failed"


async def test_reachable(steps: FlushSteps) -> None:
    """A Redis that answers is reachable."""
    assert await steps.reachable()
