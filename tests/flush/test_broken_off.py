"""Flushes that break off: processes that die, runs that are overtaken, memories that change under them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from sidecar.errors import FlushRefused, SummaryRejected, UnknownMemory
from sidecar.flush.steps import FlushSteps
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import (
    CHAT,
    DEFINITIONS,
    SUMMED,
    LiveMemory,
    NotingSummariser,
    WordCounter,
    talk,
)
from tests.flush.stepping import begin, flush, take


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed without a summary."""
    return LiveMemory(redis_client, CHAT)


@pytest.fixture
def summed(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed with a summary."""
    return LiveMemory(redis_client, SUMMED)


class Says:
    """A summariser that always says the same."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        return self.text


def _steps(store: FlushStore, summariser: NotingSummariser | Says, *, lease_ms: int = 60_000) -> FlushSteps:
    return FlushSteps(
        store=store,
        definitions=DEFINITIONS,
        counter=lambda encoding: WordCounter(),
        summariser=summariser,
        lease_ms=lease_ms,
    )


@pytest.mark.parametrize("steps_taken", [1, 2, 3])
async def test_a_run_that_dies_is_followed_by_another(steps: FlushSteps, summed: LiveMemory, steps_taken: int) -> None:
    """A process that dies after any step has changed nothing, and the next run flushes once the lease is over."""
    await summed.append(talk(20))
    before = await summed.messages()
    ticket = await begin(steps, summed, "dead")
    if steps_taken >= 2:
        await steps.plan(ticket)
    if steps_taken >= 3:
        await steps.summarise(ticket, lambda: None)
    assert await summed.messages() == before
    assert (await steps.begin(*summed.address, run_id="next", force=False)).status == "joined"
    await summed.lose_lease()
    outcome = await flush(steps, summed, "next")
    assert (outcome.status, outcome.removed) == ("done", 12)
    with pytest.raises(FlushRefused, match="stale-fence"):
        await steps.commit(ticket)
    assert (await summed.messages()) == before[12:]
    await summed.assert_totals()


async def test_a_run_that_dies_after_the_commit_has_flushed(steps: FlushSteps, memory: LiveMemory) -> None:
    """A process that dies before it could report leaves a flushed memory that is not due."""
    await memory.append(talk(20))
    await flush(steps, memory, "dead")
    assert (await steps.begin(*memory.address, run_id="next", force=False)).status == "not-due"


@pytest.mark.parametrize("step", ["plan", "summarise", "commit", "renew"])
async def test_an_overtaken_run_is_told_so(steps: FlushSteps, summed: LiveMemory, step: str) -> None:
    """Each step of a run that was overtaken is refused and changes nothing."""
    await summed.append(talk(20))
    ticket = await begin(steps, summed, "slow")
    await steps.plan(ticket)
    await summed.lose_lease()
    await steps.plan(await begin(steps, summed, "fast"))
    before = await summed.state()
    with pytest.raises(FlushRefused):
        await take(steps, step, ticket)
    await steps.fail(ticket, "overtaken")
    assert await summed.state() == before


@pytest.mark.parametrize("step", ["plan", "summarise", "commit", "renew"])
async def test_a_cleared_memory_is_told_so(steps: FlushSteps, summed: LiveMemory, step: str) -> None:
    """Each step for a memory that was cleared, and written anew, is refused and changes nothing."""
    await summed.append(talk(20))
    ticket = await begin(steps, summed)
    await steps.plan(ticket)
    await summed.clear()
    await summed.append(talk(20))
    before = await summed.state()
    with pytest.raises(FlushRefused):
        await take(steps, step, ticket)
    await steps.fail(ticket, "cleared")
    assert await summed.state() == before


async def test_a_lost_plan_is_refused(steps: FlushSteps, summed: LiveMemory) -> None:
    """When the staged plan has expired, neither summary nor commit goes on without it."""
    await summed.append(talk(20))
    ticket = await begin(steps, summed)
    await steps.plan(ticket)
    await summed.redis.delete(summed.keys.work)
    for step in ("summarise", "commit"):
        with pytest.raises(FlushRefused, match="lost-plan"):
            await take(steps, step, ticket)


async def test_a_log_edited_by_hand_is_not_summarised(
    steps: FlushSteps, summed: LiveMemory, summariser: NotingSummariser
) -> None:
    """If a planned message is missing, no model is asked for a summary that could not be committed."""
    ids = await summed.append(talk(20))
    ticket = await begin(steps, summed)
    await steps.plan(ticket)
    await summed.redis.xdel(summed.keys.log, ids[3])
    with pytest.raises(FlushRefused, match="stale-plan"):
        await steps.summarise(ticket, lambda: None)
    assert summariser.calls == []


async def test_a_flush_puts_edited_totals_right(steps: FlushSteps, memory: LiveMemory) -> None:
    """Messages that somebody removed by hand before the flush are out of the totals after it."""
    ids = await memory.append(talk(30))
    await memory.redis.xdel(memory.keys.log, *ids[5:9])
    await flush(steps, memory)
    await memory.assert_totals()
    assert len(await memory.ids()) == 10


async def test_renew_keeps_others_out(store: FlushStore, memory: LiveMemory) -> None:
    """A run that shows signs of life is not overtaken."""
    steps = _steps(store, NotingSummariser(), lease_ms=60_000)
    await memory.append(talk(20))
    ticket = await begin(steps, memory, "a")
    await memory.lose_lease()
    await steps.renew(ticket)
    assert (await steps.begin(*memory.address, run_id="b", force=False)).status == "joined"


async def test_an_unknown_definition(steps: FlushSteps, redis_client: Redis) -> None:
    """A memory of a configuration that is gone is refused by name, and its mark stays."""
    memory = LiveMemory(redis_client, replace(CHAT, id="gone"))
    await memory.append(talk(20))
    with pytest.raises(UnknownMemory, match="no memory definition 'gone'"):
        await steps.begin(*memory.address, run_id="a", force=False)
    assert await memory.marked()


async def test_a_summary_over_its_budget_is_refused(store: FlushStore, summed: LiveMemory) -> None:
    """A summariser that does not keep to its budget spoils no memory."""
    steps = _steps(store, Says("word " * 97))
    await summed.append(talk(20))
    ticket = await begin(steps, summed)
    await steps.plan(ticket)
    with pytest.raises(SummaryRejected, match="over-budget"):
        await steps.summarise(ticket, lambda: None)
    with pytest.raises(FlushRefused, match="lost-plan"):
        await steps.commit(ticket)


async def test_a_summary_of_nothing(store: FlushStore, summed: LiveMemory) -> None:
    """Where nobody said a word, the messages go and no summary is stored."""
    steps = _steps(store, Says(""))
    await summed.append([(role, "", tokens) for role, _, tokens, *_ in talk(20)])
    outcome = await flush(steps, summed)
    assert (outcome.status, outcome.summary_tokens) == ("done", 0)
    assert "summary" not in await summed.meta()
