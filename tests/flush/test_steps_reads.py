"""Flushes that go by when a message was last read, on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.flush.steps import FlushSteps
from sidecar.memory.ports import FlushOrder
from tests.flush.memories import CHAT, READ, LiveMemory, talk
from tests.flush.stepping import begin, flush

LATE_MS = 4_000_000_000_000
"""Later than any id of these tests."""


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory that is flushed by its access times."""
    return LiveMemory(redis_client, READ)


async def read(memory: LiveMemory, *ids: str) -> None:
    """Note that the messages were read, the later in the row the later."""
    await memory.redis.zadd(memory.keys.seen, {id_: LATE_MS + at for at, id_ in enumerate(ids)})


async def test_what_was_read_stays(steps: FlushSteps, memory: LiveMemory) -> None:
    """lru removes what was not read, by age, before what was."""
    ids = await memory.append(talk(20))
    await read(memory, ids[3], ids[0])
    outcome = await flush(steps, memory)
    assert (outcome.strategy, outcome.removed) == ("lru", 10)
    assert await memory.ids() == [ids[0], ids[3], *ids[12:]]


async def test_what_is_gone_is_forgotten_with_the_next_flush(steps: FlushSteps, memory: LiveMemory) -> None:
    """A flush removes the access times of messages that left by whatever way, and no others."""
    ids = await memory.append(talk(20))
    await read(memory, "1-1", *ids, f"{LATE_MS}-0")
    await memory.delete(ids[5])
    await steps.plan(await begin(steps, memory))
    left: Any = await memory.redis.zrange(memory.keys.seen, 0, -1)
    assert {id_.decode() for id_ in left} == {*ids, f"{LATE_MS}-0"} - {ids[5]}


async def test_a_preview_forgets_nothing(steps: FlushSteps, memory: LiveMemory) -> None:
    """DRYRUN goes by the access times, and leaves those of messages that are gone for the flush to remove."""
    ids = await memory.append(talk(20))
    await read(memory, "1-1", *ids)
    outcome = await steps.preview(FlushOrder(*memory.address, force=False))
    assert (outcome.strategy, outcome.removed) == ("lru", 10)
    assert await memory.redis.zcard(memory.keys.seen) == 21


async def test_lru_of_a_memory_without_access_times(steps: FlushSteps, redis_client: Redis) -> None:
    """`STRATEGY lru` where no times are kept goes by when messages were written."""
    memory = LiveMemory(redis_client, CHAT)
    ids = await memory.append(talk(20))
    begun = await steps.begin(*memory.address, run_id="a", force=False, strategy="lru")
    assert begun.ticket is not None
    await steps.plan(begun.ticket)
    assert (await steps.commit(begun.ticket)).strategy == "lru"
    assert await memory.ids() == ids[10:]
