"""`commit.lua` on a real Redis: what it removes, what it leaves, and what it records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Limits
from tests.flush.memories import CHAT, SPACE, SUMMED, LiveMemory, talk
from tests.store.committing import LEASE_MS, Flush

SYSTEM = ("system", "be kind", 10)


@pytest.fixture
def store(redis_client: Redis) -> FlushStore:
    """The store under test."""
    return FlushStore(redis_client, SPACE)


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory, due above 800 tokens."""
    return LiveMemory(redis_client)


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(range(10), id="head"),
        pytest.param(range(20), id="everything"),
        pytest.param(range(1, 10), id="behind a protected one"),
        pytest.param([*range(5), *range(8, 12), 15], id="head and holes"),
        pytest.param([3], id="one in the middle"),
        pytest.param([19], id="the newest"),
        pytest.param([], id="nothing"),
    ],
)
async def test_exactly_the_planned_messages_go(store: FlushStore, memory: LiveMemory, gone: Collection[int]) -> None:
    """What was planned is removed, everything else stays as it was, and the totals are those of the log."""
    ids = await memory.append(talk(20))
    before = await memory.messages()
    flush = await (await Flush(store, memory).begin()).stage({ids[at] for at in gone})
    reply = await flush.commit()
    assert reply.code == "committed"
    assert await memory.messages() == [message for at, message in enumerate(before) if at not in gone]
    await memory.assert_totals()
    record = reply.record
    assert record is not None
    assert (record.run_id, record.status, record.strategy) == ("a", "done", "fifo")
    assert (record.removed, record.freed_tokens) == (len(gone), 50 * len(gone))
    assert (record.messages, record.tokens) == (20 - len(gone), 1_000 - 50 * len(gone))


async def test_what_was_appended_meanwhile_stays(store: FlushStore, memory: LiveMemory) -> None:
    """Messages appended between begin and commit are neither removed nor forgotten in the totals."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids))
    new = await memory.append([SYSTEM, *talk(3, tokens=7)])
    reply = await flush.commit()
    assert reply.code == "committed"
    assert await memory.ids() == new
    await memory.assert_totals()
    meta = await memory.meta()
    assert (meta["kept_messages"], meta["kept_tokens"]) == ("1", "10")


async def test_more_ids_than_one_call_takes(store: FlushStore, memory: LiveMemory) -> None:
    """A range of more ids than Lua can unpack at once is removed completely."""
    ids = await memory.append([SYSTEM, *talk(12_001, tokens=1)])
    reply = await (await (await Flush(store, memory).begin()).stage(set(ids[1:-1]))).commit()
    assert reply.code == "committed"
    assert await memory.ids() == [ids[0], ids[-1]]
    await memory.assert_totals()


async def test_bookkeeping_after_the_commit(store: FlushStore, memory: LiveMemory) -> None:
    """Lease, work and an earlier error are gone; what was done is recorded."""
    ids = await memory.append(talk(20))
    await memory.redis.hset(memory.keys.meta, "last_error", "an old one")
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:12]))
    await flush.commit()
    meta = await memory.meta()
    assert meta.keys().isdisjoint({"flush_run", "flush_until", "last_error", "summary", "summary_tokens"})
    assert (meta["last_removed"], meta["last_freed"], meta["last_summary_tokens"]) == ("12", "600", "0")
    assert int(meta["last_flush"]) - flush.begun.now_ms == int(meta["last_duration"])
    assert await memory.redis.exists(memory.keys.work) == 0


async def test_the_summary_takes_the_place_of_what_went(store: FlushStore, memory: LiveMemory) -> None:
    """A summary is stored with its weight and with the range and number of messages that it stands for."""
    ids = await memory.append([SYSTEM, *talk(20)])
    flush = await (await Flush(store, memory).begin()).stage(set(ids[1:11]), summarise=True)
    await flush.summary("what was said", 23)
    reply = await flush.commit()
    assert reply.record is not None
    assert reply.record.summary_tokens == 23
    meta = await memory.meta()
    assert (meta["summary"], meta["summary_tokens"]) == ("what was said", "23")
    assert (meta["summary_first"], meta["summary_last"], meta["summary_messages"]) == (ids[1], ids[10], "10")


async def test_a_later_summary_stands_for_all_of_it(store: FlushStore, memory: LiveMemory) -> None:
    """The second summary replaces the first, and its range and number include those of the first."""
    ids = await memory.append(talk(20))
    first = await (await Flush(store, memory).begin()).stage(set(ids[2:10]), summarise=True)
    await first.summary("one", 5)
    await first.commit()
    second = await (await Flush(store, memory, "b").begin()).stage({ids[0], ids[10], ids[11]}, summarise=True)
    await second.summary("one and two", 7)
    await second.commit()
    meta = await memory.meta()
    assert (meta["summary"], meta["summary_tokens"]) == ("one and two", "7")
    assert (meta["summary_first"], meta["summary_last"], meta["summary_messages"]) == (ids[0], ids[11], "11")


async def test_an_older_leftover_does_not_narrow_the_range(store: FlushStore, memory: LiveMemory) -> None:
    """A message that stayed behind and goes later lies within the range, which does not shrink to it."""
    ids = await memory.append(talk(20))
    await (await (await Flush(store, memory).begin()).stage({*ids[:3], *ids[4:10]})).commit()
    await (await (await Flush(store, memory, "b").begin()).stage({ids[3]})).commit()
    meta = await memory.meta()
    assert (meta["summary_first"], meta["summary_last"], meta["summary_messages"]) == (ids[0], ids[9], "10")


async def test_ids_are_compared_as_ids(store: FlushStore, memory: LiveMemory) -> None:
    """`5-10` is later than `5-9`, and `10-0` later than `9-0`: numbers, not text."""
    for id_ in ("5-9", "5-10", "9-0", "10-0"):
        await memory.redis.xadd(memory.keys.log, {"r": "user", "c": "", "n": "1"}, id=id_)
    await memory.redis.hset(memory.keys.meta, mapping={"epoch": "1", "messages": "4", "tokens": "4"})
    await (await (await Flush(store, memory).begin()).stage({"5-10", "9-0"})).commit()
    await (await (await Flush(store, memory, "b").begin()).stage({"5-9"})).commit()
    await (await (await Flush(store, memory, "c").begin()).stage({"10-0"})).commit()
    meta = await memory.meta()
    assert (meta["summary_first"], meta["summary_last"], meta["summary_messages"]) == ("5-9", "10-0", "4")


async def test_without_a_summary_the_old_one_stays(store: FlushStore, memory: LiveMemory) -> None:
    """A flush that does not summarise keeps the summary there is, and counts what it removed."""
    ids = await memory.append(talk(20))
    first = await (await Flush(store, memory).begin()).stage(set(ids[:5]), summarise=True)
    await first.summary("one", 5)
    await first.commit()
    reply = await (await (await Flush(store, memory, "b").begin()).stage(set(ids[5:9]))).commit()
    meta = await memory.meta()
    assert (meta["summary"], meta["summary_tokens"]) == ("one", "5")
    assert (meta["summary_last"], meta["summary_messages"]) == (ids[8], "9")
    assert reply.record is not None
    assert reply.record.summary_tokens == 0


async def test_an_empty_summary_is_none(store: FlushStore, memory: LiveMemory) -> None:
    """Where nothing was said, no summary is stored, and it weighs nothing."""
    ids = await memory.append(talk(20))
    await memory.redis.hset(memory.keys.meta, mapping={"summary": "old", "summary_tokens": "700"})
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]), summarise=True)
    await flush.summary("", 0)
    await flush.commit()
    assert (await memory.meta()).keys().isdisjoint({"summary", "summary_tokens"})
    assert not await memory.marked()


async def test_all_keys_get_the_same_new_life(store: FlushStore, redis_client: Redis) -> None:
    """The commit extends the life of everything that belongs to the memory."""
    memory = LiveMemory(redis_client, SUMMED)
    ids = await memory.append([SYSTEM, *talk(20)])
    for key in (memory.keys.log, memory.keys.meta, memory.keys.keep):
        await redis_client.pexpire(key, 5_000)
    flush = await (await Flush(store, memory).begin()).stage(set(ids[1:10]))
    await flush.commit(ttl_ms=60_000)
    for key in (memory.keys.log, memory.keys.meta, memory.keys.keep):
        assert 50_000 < await redis_client.pttl(key) <= 60_000


async def test_without_a_ttl_nothing_expires(store: FlushStore, memory: LiveMemory) -> None:
    """A memory that lives for ever still does after a flush."""
    ids = await memory.append(talk(20))
    await (await (await Flush(store, memory).begin()).stage(set(ids[:10]))).commit()
    assert await memory.redis.pttl(memory.keys.meta) == -1


async def test_a_second_commit_is_the_first(store: FlushStore, memory: LiveMemory) -> None:
    """Committing twice changes nothing the second time and returns the same record."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    first = await flush.commit()
    before = await memory.state()
    second = await flush.commit()
    assert (first.code, second.code) == ("committed", "done")
    assert second.record == first.record
    assert await memory.state() == before
    begin = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert (begin.code, begin.record) == ("done", first.record)
    assert await memory.state() == before


async def test_the_last_message_may_go_and_the_commit_be_repeated(store: FlushStore, memory: LiveMemory) -> None:
    """A flush that empties the log is still known to have been done."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids))
    first = await flush.commit()
    assert (await flush.commit()).record == first.record
    begin = await store.begin(*memory.address, run_id="a", lease_ms=LEASE_MS, force=True, limits=memory.limits)
    assert begin.code == "done"


AGAIN_CASES = [
    # above the threshold after the commit, appended above it since the begin -> again, mark stays
    pytest.param(10, 0, False, False, id="below, nothing new: the mark goes"),
    pytest.param(10, 2, False, False, id="below, new messages: the mark goes"),
    pytest.param(2, 0, False, False, id="still above, nothing new: only protected ones are left, the mark goes"),
    pytest.param(2, 1, True, True, id="still above, new messages: look again, the mark stays"),
    pytest.param(10, 12, True, True, id="above because of new messages: look again, the mark stays"),
]


@pytest.mark.parametrize(("removed", "appended", "again", "marked"), AGAIN_CASES)
async def test_when_the_mark_stays(
    store: FlushStore, memory: LiveMemory, removed: int, appended: int, again: bool, marked: bool
) -> None:
    """The mark stays exactly if the memory is above its threshold and was appended to since the begin."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:removed]))
    if appended:
        await memory.append(talk(appended))
    first, second = await flush.commit(), await flush.commit()
    assert first.record is not None
    assert (first.record.again, await memory.marked()) == (again, marked)
    assert second.record == first.record


async def test_limits_of_none_are_never_exceeded(store: FlushStore, redis_client: Redis) -> None:
    """A memory without limits, flushed by force, is not due afterwards."""
    memory = LiveMemory(redis_client, replace(CHAT, id="free", max_tokens=None))
    ids = await memory.append(talk(20))
    await memory.mark()
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:1]))
    reply = await flush.commit(limits=Limits(None, None))
    assert reply.record is not None
    assert not reply.record.again
    assert not await memory.marked()
