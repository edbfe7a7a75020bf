"""`commit.lua` on a real Redis: each reason to refuse, and that nothing is changed then."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.flush.staging import StagedPlan, encode
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import CommitReply
from tests.flush.memories import SPACE, LiveMemory, talk
from tests.store.committing import Flush, ranges


@pytest.fixture
def store(redis_client: Redis) -> FlushStore:
    """The store under test."""
    return FlushStore(redis_client, SPACE)


@pytest.fixture
def memory(redis_client: Redis) -> LiveMemory:
    """An empty memory, due above 800 tokens."""
    return LiveMemory(redis_client)


async def test_a_cleared_memory_is_not_touched(store: FlushStore, memory: LiveMemory) -> None:
    """After a clear the commit is refused: without a memory, and with a new one under the same name."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.clear()
    assert await flush.commit() == CommitReply("stale-epoch")
    assert await memory.meta() == {}
    await memory.append(talk(20))
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-epoch")
    assert await memory.state() == before


async def test_an_overtaken_flush_is_refused(store: FlushStore, memory: LiveMemory) -> None:
    """A run whose lease ran out and was taken over changes nothing, before and after the other's commit."""
    ids = await memory.append(talk(20))
    old = await (await Flush(store, memory, "a").begin()).stage(set(ids[:10]))
    await memory.lose_lease()
    new = await (await Flush(store, memory, "b").begin()).stage(set(ids[:5]))
    before = await memory.state()
    assert await old.commit() == CommitReply("stale-fence")
    assert await memory.state() == before
    assert (await new.commit()).code == "committed"
    before = await memory.state()
    assert await old.commit() == CommitReply("stale-fence")
    assert await memory.state() == before
    assert await memory.ids() == ids[5:]


async def test_a_lease_that_ran_out_but_was_not_taken_over_still_commits(store: FlushStore, memory: LiveMemory) -> None:
    """A slow run loses its work only to another one, not to the clock."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.lose_lease()
    assert (await flush.commit()).code == "committed"


async def test_a_flush_that_was_given_up_is_refused(store: FlushStore, memory: LiveMemory) -> None:
    """A commit that arrives after its flush was recorded as failed changes nothing."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await store.fail(flush.lease, begun_ms=flush.begun.now_ms, strategy="fifo", error="gave up")
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-fence")
    assert await memory.state() == before


async def test_a_plan_that_is_not_there_is_lost(store: FlushStore, memory: LiveMemory) -> None:
    """Without a staged plan, or after it has expired, the commit is refused."""
    ids = await memory.append(talk(20))
    flush = await Flush(store, memory).begin()
    before = await memory.state()
    assert await flush.commit() == CommitReply("lost-plan")
    assert await memory.state() == before
    await flush.stage(set(ids[:10]))
    await memory.redis.delete(memory.keys.work)
    assert await flush.commit() == CommitReply("lost-plan")
    assert await memory.state() == before


async def test_a_summary_that_is_not_there_is_lost(store: FlushStore, memory: LiveMemory) -> None:
    """A plan that asks for a summary removes nothing without one."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]), summarise=True)
    before = await memory.state()
    assert await flush.commit() == CommitReply("lost-plan")
    assert await memory.state() == before


async def test_the_plan_of_another_run_is_lost(store: FlushStore, memory: LiveMemory) -> None:
    """A run never commits what another one has planned."""
    ids = await memory.append(talk(20))
    await (await Flush(store, memory, "a").begin()).stage(set(ids[:10]))
    await memory.lose_lease()
    new = await Flush(store, memory, "b").begin()
    before = await memory.state()
    assert await new.commit() == CommitReply("lost-plan")
    assert await memory.state() == before


async def test_a_log_edited_by_hand_is_not_touched(store: FlushStore, memory: LiveMemory) -> None:
    """Messages removed or added past the scripts, between plan and commit, make the plan stale."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.redis.xdel(memory.keys.log, ids[4])
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-plan")
    assert await memory.state() == before
    await memory.redis.xadd(memory.keys.log, {"r": "user", "c": "", "n": "1"})
    await memory.redis.xadd(memory.keys.log, {"r": "user", "c": "", "n": "1"})
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-plan")
    assert await memory.state() == before


async def test_a_log_that_begins_elsewhere_is_not_touched(store: FlushStore, memory: LiveMemory) -> None:
    """A range at the head is trimmed only if it still is the head, even if the number of messages is right."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.redis.xdel(memory.keys.log, ids[0])
    await memory.redis.xadd(memory.keys.log, {"r": "user", "c": "", "n": "1"})
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-plan")
    assert await memory.state() == before


async def test_an_exchange_by_hand_costs_nothing_else(store: FlushStore, memory: LiveMemory) -> None:
    """Whoever removes a planned message and adds another by hand loses neither it nor the right number."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    deed = await flush.prepare()
    await memory.redis.xdel(memory.keys.log, ids[4])
    await memory.redis.xadd(memory.keys.log, {"r": "user", "c": "", "n": "1"})
    kept = (await memory.ids())[9:]
    reply = await flush.commit(deed=deed)
    assert reply.code == "committed"
    assert reply.record is not None
    assert (reply.record.removed, reply.record.messages) == (9, 11)
    assert await memory.ids() == kept


async def test_a_known_drift_is_put_right(store: FlushStore, memory: LiveMemory) -> None:
    """Totals that the plan found to be wrong are those of the log after the commit."""
    ids = await memory.append(talk(20))
    await memory.redis.hset(memory.keys.meta, mapping={"messages": "25", "tokens": "900"})
    flush = await Flush(store, memory).begin()
    plan = StagedPlan("fifo", 10, 500, False, True, 100, -5, 100, ranges(ids, ids[:10]))
    await store.stage_plan(flush.lease, encode(plan))
    await memory.append(talk(2))
    assert (await flush.commit()).code == "committed"
    await memory.assert_totals()


async def test_a_locked_memory_is_not_touched(store: FlushStore, memory: LiveMemory) -> None:
    """While somebody holds the lease the commit is refused, with what is left of it; afterwards it goes through."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.lock(600_000)
    before = await memory.state()
    reply = await flush.commit()
    assert (reply.code, reply.record) == ("locked", None)
    assert 590_000 < reply.left_ms <= 600_000
    assert await memory.state() == before
    await memory.unlock()
    assert (await flush.commit()).code == "committed"
    assert await memory.ids() == ids[10:]


async def test_a_lease_keeps_out_until_its_very_end(store: FlushStore, memory: LiveMemory) -> None:
    """Whatever the remaining time, a refused commit says at least 1 ms, and it is refused until the lease is gone."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.lock(30)
    while (reply := await flush.commit()).code == "locked":
        assert 1 <= reply.left_ms <= 30
    assert reply.code == "committed"
    assert await memory.redis.exists(memory.keys.lock) == 0


async def test_a_lease_without_an_end_keeps_out(store: FlushStore, memory: LiveMemory) -> None:
    """A lock that somebody has set by hand, without a life time, is one too."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.redis.set(memory.keys.lock, "mine")
    assert await flush.commit() == CommitReply("locked", left_ms=1)


async def test_what_is_over_is_not_locked(store: FlushStore, memory: LiveMemory) -> None:
    """Under a lease too, a repeated commit is told that it is done, and one that came too late that it is."""
    ids = await memory.append(talk(20))
    done = await (await Flush(store, memory, "a").begin()).stage(set(ids[:2]))
    await done.commit()
    late = await (await Flush(store, memory, "b").begin()).stage(set(ids[2:4]))
    await memory.lock()
    assert (await done.commit()).code == "done"
    await memory.lose_lease()
    await Flush(store, memory, "c").begin()
    assert (await late.commit()).code == "stale-fence"
    await memory.unlock()
    await memory.clear()
    await memory.append(talk(1))
    await memory.lock()
    assert (await late.commit()).code == "stale-epoch"


@pytest.mark.parametrize("at", [0, 4, 9, 12, 14, 19])
async def test_a_message_that_was_pinned_since_the_plan_stays(store: FlushStore, memory: LiveMemory, at: int) -> None:
    """A pin set between plan and commit holds: a plan that removes the message is void as a whole."""
    ids = await memory.append(talk(20))
    gone = {*ids[:10], *ids[12:15], ids[19]}
    flush = await (await Flush(store, memory).begin()).stage(gone)
    await memory.pin(ids[at])
    before = await memory.state()
    assert await flush.commit() == CommitReply("stale-plan")
    assert await memory.state() == before


async def test_other_pins_do_not_disturb(store: FlushStore, memory: LiveMemory) -> None:
    """Messages of the same milliseconds that the plan leaves may be pinned meanwhile, and instructions be there."""
    ids = await memory.append([("system", "be kind", 10), *talk(18), ("developer", "be brief", 10)])
    gone = {*ids[1:10], *ids[12:15], ids[18]}
    flush = await (await Flush(store, memory).begin()).stage(gone)
    await memory.pin(*(set(ids) - gone))
    assert (await flush.commit()).code == "committed"
    assert await memory.ids() == [id_ for id_ in ids if id_ not in gone]


async def test_a_foreign_type_stops_the_commit_before_it_begins(store: FlushStore, memory: LiveMemory) -> None:
    """An outbox that is no sorted set makes the commit fail as a whole, not halfway."""
    ids = await memory.append(talk(20))
    flush = await (await Flush(store, memory).begin()).stage(set(ids[:10]))
    await memory.redis.set(memory.keys.due, "mine")
    deed = await flush.prepare()
    messages, meta = await memory.messages(), await memory.meta()
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await flush.commit(deed=deed)
    assert (await memory.messages(), await memory.meta()) == (messages, meta)
