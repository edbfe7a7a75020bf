"""The work of a flush, apart from the order of its steps; what comes of it all is in the tests of the steps."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import FlushRefused
from sidecar.flush.labour import OwnLabour
from sidecar.flush.steps import FlushSteps
from sidecar.flush.summing import Summing
from sidecar.memory.message import count_summary
from sidecar.memory.ports import TextCounter
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Deed
from tests.flush.memories import CHAT, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import begin


def never(encoding: str) -> TextCounter:
    """Stand for a vocabulary that must not be loaded."""
    raise AssertionError(f"{encoding} was loaded")


def labour_of(store: FlushStore, *, loads: bool = True) -> OwnLabour:
    """Return labour over a store."""
    summing = Summing(NotingSummariser(), {}, None)
    return OwnLabour(
        store=store,
        counter=(lambda encoding: WordCounter()) if loads else never,
        summing=summing,
        last_resort=summing,
        lease_ms=7_000,
    )


async def test_what_is_not_counted_needs_no_vocabulary(
    store: FlushStore, steps: FlushSteps, redis_client: Redis
) -> None:
    """A flush that only takes messages away is planned and prepared without one."""
    memory, labour = LiveMemory(redis_client, CHAT), labour_of(store, loads=False)
    ids = await memory.append(talk(20))
    ticket = await begin(steps, memory)
    plan = await labour.plan(ticket, CHAT)
    deed = await labour.prepare(ticket, CHAT)
    assert plan.removed == deed.removed == 10
    assert (deed.first, deed.last) == (ids[0], ids[9])


async def test_without_a_plan(store: FlushStore, steps: FlushSteps, redis_client: Redis) -> None:
    """What has expired cannot be summed up, and prepares to nothing: the commit script says why."""
    memory, labour = LiveMemory(redis_client, SUMMED), labour_of(store)
    await memory.append(talk(20))
    ticket = await begin(steps, memory)
    with pytest.raises(FlushRefused, match="lost-plan"):
        await labour.summarise(ticket, SUMMED, lambda: None, fallback=False)
    assert await labour.prepare(ticket, SUMMED) == Deed("hybrid_summary", 0, 0, 0, 0, 0, False, "", "")


async def test_a_summary_weighs_what_a_model_reads(store: FlushStore, steps: FlushSteps, redis_client: Redis) -> None:
    """With its heading, as a message; none weighs nothing."""
    memory, labour = LiveMemory(redis_client, SUMMED), labour_of(store)
    await memory.append(talk(20))
    ticket = await begin(steps, memory)
    await labour.plan(ticket, SUMMED)
    assert await labour.stage_summary(ticket, SUMMED, "") == 0
    assert await labour.stage_summary(ticket, SUMMED, "one two") == count_summary("one two", WordCounter().count)
    assert labour.lease(ticket) == memory.lease(ticket.run_id, ticket.epoch, ticket.fence)._replace(lease_ms=7_000)


async def test_signs_of_life(store: FlushStore, steps: FlushSteps, redis_client: Redis) -> None:
    """Every page that is read and every summary is one."""
    memory, labour, signs = LiveMemory(redis_client, SUMMED), labour_of(store), []
    await memory.append(talk(20))
    ticket = await begin(steps, memory)
    await labour.plan(ticket, SUMMED)
    assert await labour.summarise(ticket, SUMMED, lambda: signs.append(1), fallback=True)
    assert len(signs) == 2
