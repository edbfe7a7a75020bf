"""`begin.lua` on a real Redis: when a flush is due, who gets the lease, and what the snapshot is."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Limits
from tests.flush.memories import SPACE, SUMMED, LiveMemory, talk
from tests.support.waiting import eventually

NONE = Limits(None, None)
LEASE_MS = 60_000


@pytest.fixture
def store(redis_client: Redis) -> FlushStore:
    """The store under test."""
    return FlushStore(redis_client, SPACE)


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory, due above 800 tokens."""
    return LiveMemory(redis_client)


async def test_begin_of_nothing_is_empty_and_takes_the_mark_out(store: FlushStore, memory: LiveMemory) -> None:
    """A mark whose memory has expired or was cleared does not come back with every sweep."""
    await memory.mark()
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert reply.code == "empty"
    assert not await memory.marked()
    assert await memory.meta() == {}


async def test_begin_of_a_memory_without_messages_is_empty(store: FlushStore, memory: LiveMemory) -> None:
    """A memory of which nothing but its totals is left has nothing to flush."""
    ids = await memory.append(talk(2))
    await memory.redis.xdel(memory.keys.log, *ids)
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert reply.code == "empty"


async def test_begin_below_the_threshold_is_not_due(store: FlushStore, memory: LiveMemory) -> None:
    """A memory that is not above its threshold is left alone and leaves the outbox."""
    await memory.append(talk(16))
    await memory.mark()
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert (reply.code, reply.messages, reply.tokens) == ("not-due", 16, 800)
    assert not await memory.marked()
    assert "fence" not in await memory.meta()


@pytest.mark.parametrize(
    ("limits", "due"),
    [
        (Limits(849, None), True),
        (Limits(850, None), False),
        (Limits(None, 16), True),
        (Limits(None, 17), False),
        (Limits(850, 16), True),
        (NONE, False),
    ],
)
async def test_due_means_above_a_limit(store: FlushStore, memory: LiveMemory, limits: Limits, due: bool) -> None:
    """Tokens or messages above their limit make a memory due; equal to it is not above."""
    await memory.append(talk(17))
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=limits)
    assert reply.code == ("begun" if due else "not-due")


@pytest.mark.parametrize(
    ("target", "limits", "code", "marked"),
    [
        (849, NONE, "begun", True),
        (850, NONE, "not-due", False),
        (0, Limits(10_000, 100), "begun", True),
        (850, Limits(849, None), "not-due", True),  # due all the same, only not for this flush
        (850, Limits(None, 16), "not-due", True),
    ],
)
async def test_a_target_is_the_threshold_of_its_flush(
    store: FlushStore, memory: LiveMemory, target: int, limits: Limits, code: str, marked: bool
) -> None:
    """With a target, tokens above it make a flush due and nothing else does; the mark depends on the thresholds."""
    await memory.append(talk(17))
    await memory.mark()
    reply = await store.begin(
        *memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=limits, target_tokens=target
    )
    assert (reply.code, await memory.marked()) == (code, marked)


async def test_the_summary_counts_towards_the_threshold(store: FlushStore, memory: LiveMemory) -> None:
    """Messages below the threshold are due if their summary takes them above it."""
    await memory.append(talk(16))
    await memory.redis.hset(memory.keys.meta, "summary_tokens", "1")
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert (reply.code, reply.summary_tokens) == ("begun", 1)


async def test_begin_takes_a_snapshot(store: FlushStore, memory: LiveMemory) -> None:
    """A begun flush knows epoch, fence, generation, newest id and totals of one moment, and holds the lease."""
    ids = await memory.append(talk(20))
    meta = await memory.meta()
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert reply.code == "begun"
    assert reply.epoch == meta["epoch"]
    assert reply.generation == int(meta["generation"])
    assert (reply.fence, reply.last_id, reply.messages, reply.tokens) == (1, ids[-1], 20, 1_000)
    after = await memory.meta()
    assert after["flush_run"] == "a"
    assert int(after["flush_until"]) == reply.now_ms + LEASE_MS
    assert await memory.marked()


async def test_force_begins_below_the_threshold(store: FlushStore, memory: LiveMemory) -> None:
    """Forced, a flush of one message begins."""
    await memory.append(talk(1))
    reply = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert reply.code == "begun"


async def test_begin_leaves_the_ttl_alone(store: FlushStore, redis_client: Redis) -> None:
    """A flush that fails and begins again and again does not keep an abandoned memory alive."""
    memory = LiveMemory(redis_client, SUMMED)
    await memory.append(talk(20))
    await redis_client.pexpire(memory.keys.meta, 5_000)
    await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert 0 < await redis_client.pttl(memory.keys.meta) <= 5_000


async def test_a_second_run_joins(store: FlushStore, memory: LiveMemory) -> None:
    """While a run holds its lease, another one learns its id and gets no fence, forced or not."""
    await memory.append(talk(20))
    await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    before = await memory.state()
    reply = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert (reply.code, reply.holder) == ("joined", "a")
    assert await memory.state() == before


async def test_a_repeated_begin_keeps_its_fence(store: FlushStore, memory: LiveMemory) -> None:
    """A run whose begin was executed but never answered gets the same fence, and a longer lease."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=1, force=False, limits=memory.limits)
    again = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=False, limits=memory.limits)
    assert (again.code, again.fence) == ("begun", first.fence)
    assert int((await memory.meta())["flush_until"]) > first.now_ms + LEASE_MS // 2


async def test_an_expired_lease_is_taken_over(store: FlushStore, memory: LiveMemory) -> None:
    """When a run has shown no sign of life for its lease, the next one begins with a higher fence."""
    await memory.append(talk(20))
    first = await store.begin(*memory.address, run_id="a", lease_ms=1, force=False, limits=memory.limits)

    async def taken_over() -> bool:
        reply = await store.begin(*memory.address, run_id="b", lease_ms=LEASE_MS, force=False, limits=memory.limits)
        return reply.code == "begun" and reply.fence == first.fence + 1

    taken: bool = await eventually(taken_over, why="the lease of 1 ms did not run out")
    assert taken


async def test_of_many_begins_at_once_one_wins(store: FlushStore, memory: LiveMemory, redis_url: str) -> None:
    """Runs that begin at the same moment over different connections get one lease, and all know whose it is."""
    await memory.append(talk(20))
    clients = [Redis.from_url(redis_url) for _ in range(8)]
    try:
        replies = await asyncio.gather(
            *(
                FlushStore(client, SPACE).begin(
                    *memory.address, run_id=f"run-{number}", lease_ms=LEASE_MS, force=False, limits=memory.limits
                )
                for number, client in enumerate(clients)
            )
        )
    finally:
        for client in clients:
            await client.aclose()
    winners = [f"run-{number}" for number, reply in enumerate(replies) if reply.code == "begun"]
    assert len(winners) == 1
    assert {reply.holder for reply in replies if reply.code == "joined"} == set(winners)
    assert (await memory.meta())["fence"] == "1"
