"""Copies of memories on a real Redis: what is part of one, and what becomes of it when something goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import Locked, NotEmpty, RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, FlushPolicy, LockPolicy
from sidecar.memory.requests import ForkRequest, ReadRequest
from sidecar.memory.results import AppendResult
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Limits
from sidecar.store.fork import LEASE_MS, Forks
from tests.flush.memories import SPACE, Entry, LiveMemory, talk
from tests.store.live import DUE, SHORT, LiveStore, change, memory

SOURCE, TARGET = memory(instance="source"), memory(instance="target")
NOTHING = AppendResult(None, None, 0, 0, 0, "none")

CALLS: list[Entry] = [
    ("system", "be kind", 10),
    ("user", "naïve 🙂", 7),
    ("assistant", "", 9, '{"tool_calls":[{"id":"a"}]}'),
    ("tool", "42", 4, '{"tool_call_id":"a"}'),
]


async def fork(
    live: LiveStore, source: Memory = SOURCE, target: Memory = TARGET, at: str | None = None
) -> AppendResult:
    """Copy and wait."""
    return await Forks(live.pipe, live.locks).fork(ForkRequest(source, target, at))


async def everything(redis: Redis, where: Memory) -> tuple[Any, ...]:
    """Return log, kept ids, and what of the meta belongs to the content."""
    meta: Any = await redis.hgetall(where.keys.meta)
    content = ("messages", "tokens", "kept_messages", "kept_tokens", "encoding", "summary", "summary_tokens")
    facts = {name: meta.get(name.encode()) for name in (*content, "summary_first", "summary_last", "summary_messages")}
    return await redis.xrange(where.keys.log), await redis.zrange(where.keys.keep, 0, -1, withscores=True), facts


def live_memory(redis: Redis, where: Memory) -> LiveMemory:
    return LiveMemory(redis, where.definition, where.instance)


# ---- what is copied ----


async def test_a_copy_has_no_access_times(live: LiveStore, redis_client: Redis) -> None:
    """Of a copy nothing has been read yet, whatever was read of its source."""
    recalled = Definition(id="recalled", max_tokens=None, flush=FlushPolicy(strategy="lru"))
    source, target = memory(recalled, "source"), memory(recalled, "target")
    await live.append(source, *talk(5))
    await live.read(source, touch=True)
    await fork(live, source, target)
    assert (await redis_client.zcard(source.keys.seen), await redis_client.exists(target.keys.seen)) == (5, 0)


async def test_a_copy_has_all_of_it(live: LiveStore, redis_client: Redis) -> None:
    """Ids, texts, tool calls, pins, summary, encoding and counts are those of the source, which stays as it was."""
    await live.append(SOURCE, *CALLS, *talk(60))
    ids = await live_memory(redis_client, SOURCE).ids()
    await live.pin(SOURCE, ids[5], ids[-1])
    summary: dict[str, str | int] = {"summary": "what was said", "summary_tokens": 20, "summary_messages": 4}
    await change(redis_client, SOURCE, {**summary, "summary_first": "1-1", "summary_last": "1-4"})
    before = await live_memory(redis_client, SOURCE).state()
    result = await fork(live)
    assert result == AppendResult(ids[0], ids[-1], 64, 64, 30 + 60 * 50, "none")
    assert await everything(redis_client, TARGET) == await everything(redis_client, SOURCE)
    assert await live_memory(redis_client, SOURCE).state() == before
    first, second = await live.info(SOURCE), await live.info(TARGET)
    assert (second.epoch or 0) > (first.epoch or 0)
    assert not second.locked
    assert await redis_client.keys("*:fork:*") == []


async def test_both_go_their_own_ways(live: LiveStore, redis_client: Redis) -> None:
    """What happens to one of them afterwards does not happen to the other; the copy can be copied."""
    await live.append(SOURCE, *CALLS)
    await fork(live)
    third = memory(instance="third")
    await live.append(TARGET, ("user", "more", 3))
    await live.delete(SOURCE, (await live.info(SOURCE)).first_id or "")
    await fork(live, TARGET, third)
    await live.clear(SOURCE)
    texts = [text for _, text, *_ in CALLS]
    for where in (TARGET, third):
        assert [message.content for message in (await live.read(where)).messages] == [*texts, "more"]
        await live_memory(redis_client, where).assert_totals()


@pytest.mark.parametrize(
    ("at", "copied"),
    [(0, 1), (3, 4), (9, 10), ("0-1", 0), ("99999999999999-0", 10)],
)
async def test_up_to_an_id(live: LiveStore, redis_client: Redis, at: int | str, copied: int) -> None:
    """AT ends the copy with that message; an id that is none of the source's ends it with the last one before."""
    await live.append(SOURCE, ("system", "be kind", 10), *talk(9))
    ids = await live_memory(redis_client, SOURCE).ids()
    result = await fork(live, at=ids[at] if isinstance(at, int) else at)
    assert await live_memory(redis_client, TARGET).ids() == ids[:copied]
    if copied:
        await live_memory(redis_client, TARGET).assert_totals()
        assert result == AppendResult(ids[0], ids[copied - 1], copied, copied, 10 + 50 * (copied - 1), "none")
    else:
        assert result == NOTHING
        assert await redis_client.exists(TARGET.keys.log, TARGET.keys.keep) == 0


async def test_up_to_a_deleted_id(live: LiveStore, redis_client: Redis) -> None:
    """AT may name a message that is gone: what lies before it is copied."""
    await live.append(SOURCE, *talk(5))
    ids = await live_memory(redis_client, SOURCE).ids()
    await live.delete(SOURCE, ids[2])
    assert (await fork(live, at=ids[2])).last_id == ids[1]
    assert await live_memory(redis_client, TARGET).ids() == ids[:2]


async def test_a_summary_alone(live: LiveStore, redis_client: Redis) -> None:
    """A source whose messages have all become a summary is copied; the copy takes appends and is found by a walk."""
    await live.append(SOURCE, *talk(2))
    await change(redis_client, SOURCE, {"summary": "what was said", "summary_tokens": 20})
    await live.delete(SOURCE, *await live_memory(redis_client, SOURCE).ids())
    assert await fork(live) == NOTHING
    assert (await live.read(TARGET)).summary == "what was said"
    assert await redis_client.type(TARGET.keys.log) == b"stream"
    with pytest.raises(NotEmpty):
        await fork(live)
    result = await live.append(TARGET, *talk(1))
    assert (result.messages, (await live.info(TARGET)).summary_tokens) == (1, 20)


async def test_nothing_to_copy(live: LiveStore, redis_client: Redis) -> None:
    """An unknown or emptied source leaves the target as it was, but for the trace of the lease, which ends."""
    assert await fork(live) == NOTHING
    assert await redis_client.keys() == [TARGET.keys.meta.encode()]
    assert 0 < await redis_client.pttl(TARGET.keys.meta) <= LEASE_MS
    await live.append(SOURCE, *talk(1))
    await live.delete(SOURCE, (await live.info(SOURCE)).first_id or "")
    assert await fork(live) == NOTHING
    assert await redis_client.exists(TARGET.keys.log, TARGET.keys.keep) == 0


async def test_life_and_thresholds_are_the_target_s(live: LiveStore, redis_client: Redis) -> None:
    """A copy expires as its own definition says, and one above its own threshold is due and marked."""
    await live.append(SOURCE, *CALLS, *talk(20))
    short, due = memory(SHORT), memory(DUE)
    assert (await fork(live, target=short)).flush == "none"
    for key in (short.keys.log, short.keys.meta, short.keys.keep):
        assert 3_590_000 < await redis_client.pttl(key) <= 3_600_000
    assert (await fork(live, short, due)).flush == "due"
    assert await live_memory(redis_client, due).marked()
    info = await live.info(due)
    assert (info.flush, info.ttl_ms) == ("due", None)


# ---- what is refused ----


async def test_a_target_with_a_content(live: LiveStore, redis_client: Redis) -> None:
    """A target that holds a message is an error, and it stays as it was; once it is emptied it takes the copy."""
    await live.append(SOURCE, *CALLS)
    mine = await live.append(TARGET, ("system", "mine", 3))
    before = await everything(redis_client, TARGET)
    with pytest.raises(NotEmpty):
        await fork(live)
    assert await everything(redis_client, TARGET) == before
    assert await redis_client.keys("*:fork:*") == []
    await live.delete(TARGET, mine.first_id or "")
    assert (await fork(live)).messages == len(CALLS)
    assert await everything(redis_client, TARGET) == await everything(redis_client, SOURCE)
    following = await live.append(TARGET, ("user", "more", 3))
    stored = [message.id for message in (await live.read(TARGET)).messages]
    assert stored[-1] == following.first_id
    assert _number(following.first_id) > _number(mine.first_id)


async def test_a_flush_of_the_emptied_target_ends(live: LiveStore, redis_client: Redis) -> None:
    """A flush of what was there before is none of the copy: none runs, and the next one begins at once.

    Every command that empties a memory ends its flush; a lease that is left is that of a log emptied by hand.
    """
    await live.append(SOURCE, *CALLS)
    mine = await live.append(TARGET, ("system", "mine", 3))
    await live.delete(TARGET, mine.first_id or "")
    await change(redis_client, TARGET, {"flush_run": "old", "flush_until": 1 << 50})
    await fork(live)
    assert (await live.info(TARGET)).flush == "none"
    store = FlushStore(redis_client, SPACE)
    address, limits = (TARGET.definition.id, TARGET.instance), Limits(None, None)
    begun = await store.begin(*address, run_id="new", lease_ms=1000, force=True, limits=limits)
    assert begun.code == "begun"


def _number(id_: str | None) -> tuple[int, ...]:
    return tuple(map(int, (id_ or "0-0").split("-")))


async def test_a_locked_target(live: LiveStore) -> None:
    """While somebody holds the lease on the target it takes no copy; a lease on the source does not matter."""
    target = memory(Definition("strict", max_tokens=None, locking=LockPolicy(wait_ms=0)))
    await live.append(SOURCE, *CALLS)
    await live.locks.acquire(SOURCE, lease_ms=60_000)
    granted = await live.locks.acquire(target, lease_ms=60_000)
    with pytest.raises(Locked):
        await fork(live, target=target)
    await live.locks.release(target, granted.token)
    assert (await fork(live, target=target)).messages == len(CALLS)


@pytest.mark.parametrize("key", ["log", "keep"])
async def test_a_foreign_key_in_the_source(live: LiveStore, redis_client: Redis, key: str) -> None:
    """A key of another type in the source's place is Redis's error; nothing is left but the lease's trace."""
    await live.append(SOURCE, *CALLS)
    await redis_client.set(getattr(SOURCE.keys, key), "mine")
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await fork(live)
    assert await redis_client.exists(TARGET.keys.log, TARGET.keys.keep) == 0
    assert not await live.locks.held(TARGET)


async def test_two_copies_to_one_target(live: LiveStore, redis_client: Redis) -> None:
    """Of two that come at once one is made, and the other one finds the target full."""
    other = memory(instance="other")
    await live.append(SOURCE, *talk(700))
    await live.append(other, *CALLS)
    outcomes = await asyncio.gather(fork(live), fork(live, other), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AppendResult", "NotEmpty"]
    await live_memory(redis_client, TARGET).assert_totals()


async def test_who_waits_for_the_target_is_told(live: LiveStore) -> None:
    """A reader that waits for the first message of the target is woken by the copy."""
    await live.append(SOURCE, *CALLS)
    await live.find(ReadRequest(TARGET, since="$"), wait_ms=60_000)
    async with live.wakeups.watch(TARGET.keys.wake) as watch:
        assert await watch.ready()
        await fork(live)
        async with asyncio.timeout(10):
            await watch.woken()
