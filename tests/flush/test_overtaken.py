"""Steps of a flush whose memory loses messages by another hand meanwhile: MEMDEL, MEMWRITE, `overflow: trim`."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import FlushLocked, FlushRefused
from sidecar.flush.steps import FlushSteps
from sidecar.memory.ports import FlushOutcome
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import SPACE, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import begin, flush, take
from tests.flush.test_local_locked import TRIMMED

HANDS = ["delete", "write", "trim"]
STEPS = ["plan", "summarise", "commit", "renew"]


@pytest.fixture
def steps(redis_client: Redis) -> FlushSteps:
    """The steps over a definition whose memories trim."""
    return FlushSteps(
        store=FlushStore(redis_client, SPACE),
        definitions={TRIMMED.id: TRIMMED},
        counter=lambda encoding: WordCounter(),
        summariser=NotingSummariser(),
    )


@pytest.fixture
async def memory(redis_client: Redis) -> LiveMemory:
    """A memory that is due and full."""
    memory = LiveMemory(redis_client, TRIMMED)
    await memory.append(talk(20))
    return memory


async def change(hand: str, memory: LiveMemory) -> None:
    """Take messages away; the memory stays above its threshold."""
    if hand == "delete":
        await memory.delete((await memory.ids())[-2])
    elif hand == "write":
        await memory.write(talk(18, content="another"))
    else:
        await memory.append(talk(2))


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("step", STEPS)
async def test_each_step_is_refused(steps: FlushSteps, memory: LiveMemory, hand: str, step: str) -> None:
    """Whichever step comes next is refused and changes nothing, and neither does giving up."""
    ticket = await begin(steps, memory)
    await steps.plan(ticket)
    await change(hand, memory)
    before = await memory.state()
    with pytest.raises(FlushRefused):
        await take(steps, step, ticket)
    await steps.fail(ticket, "overtaken")
    assert await memory.state() == before
    await memory.assert_totals()


@pytest.mark.parametrize("hand", HANDS)
async def test_a_finished_work_is_refused(steps: FlushSteps, memory: LiveMemory, hand: str) -> None:
    """A flush that has planned and summarised removes nothing more once another hand did."""
    ticket = await begin(steps, memory)
    await steps.plan(ticket)
    await steps.summarise(ticket, lambda: None)
    await change(hand, memory)
    before = await memory.state()
    with pytest.raises(FlushRefused, match=r"stale-(fence|epoch)"):
        await steps.commit(ticket)
    assert await memory.state() == before


@pytest.mark.parametrize("hand", HANDS)
async def test_the_mark_brings_the_next_flush(steps: FlushSteps, memory: LiveMemory, hand: str) -> None:
    """The next run need not wait for a lease to run out, and flushes what is there."""
    await steps.plan(await begin(steps, memory, "a"))
    await change(hand, memory)
    assert await memory.marked()
    left = await memory.messages()
    outcome = await flush(steps, memory, "b")
    assert outcome.status == "done"
    assert await memory.messages() == left[outcome.removed :]
    await memory.assert_totals()
    assert not await memory.marked()


@pytest.mark.parametrize("hand", HANDS)
async def test_whoever_waits_is_told(steps: FlushSteps, memory: LiveMemory, hand: str) -> None:
    """Who follows the run from another process learns that it came to nothing."""
    await begin(steps, memory, "a")
    assert await steps.outcome_of(*memory.address, "a") is None
    await change(hand, memory)
    outcome = await steps.outcome_of(*memory.address, "a")
    assert isinstance(outcome, FlushOutcome)
    assert outcome.status == "failed"


async def test_appends_overtake_nothing(steps: FlushSteps, memory: LiveMemory) -> None:
    """An append that needs no room leaves the flush its right."""
    await memory.delete(*(await memory.ids())[:2])
    ticket = await begin(steps, memory)
    await steps.plan(ticket)
    await memory.append(talk(2))
    await steps.summarise(ticket, lambda: None)
    assert (await steps.commit(ticket)).status == "done"


async def test_a_locked_memory_lets_every_step_but_the_commit(steps: FlushSteps, memory: LiveMemory) -> None:
    """Planning and summarising go on under an agent's lock; only the commit is told to wait, and for how long."""
    await memory.lock(500_000)
    ticket = await begin(steps, memory)
    await steps.plan(ticket)
    await steps.summarise(ticket, lambda: None)
    await steps.renew(ticket)
    before = await memory.state()
    with pytest.raises(FlushLocked) as locked:
        await steps.commit(ticket)
    assert 400_000 < locked.value.left_ms <= 500_000
    assert await memory.state() == before
    await memory.unlock()
    assert (await steps.commit(ticket)).status == "done"
