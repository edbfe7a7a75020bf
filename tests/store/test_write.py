"""`append.lua` as MEMWRITE runs it: the whole content is replaced, in one step."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import OverBudget, RedisRefused
from sidecar.memory.definition import Definition
from tests.flush.memories import LiveMemory, talk
from tests.store.live import DUE, ENDLESS, SHORT, LiveStore, change, memory

BOUNDED = Definition("bounded", max_tokens=100, overflow="reject")


async def test_nothing_of_what_was_there_stays(live: LiveStore, redis_client: Redis) -> None:
    """Messages, instructions, summary, staged work, mark and encoding go; the new ones are counted alone."""
    where = memory(DUE)
    old = await live.append(where, ("system", "be kind", 10), *talk(20))
    await change(redis_client, where, {"summary": "what was said", "summary_tokens": 40})
    await redis_client.hset(where.keys.work, "run", "x")
    epoch = (await live.info(where)).epoch
    result = await live.append(where, ("user", "hello", 4), replace=True)
    assert result.first_id == result.last_id != old.last_id
    assert (result.appended, result.messages, result.tokens, result.flush) == (1, 1, 4, "none")
    found = LiveMemory(redis_client, DUE)
    assert [message.content for message in await found.messages()] == ["hello"]
    await found.assert_totals()
    info = await live.info(where)
    assert (info.summary_tokens, info.pinned_tokens, info.flush) == (0, 0, "none")
    assert (info.epoch or 0) > (epoch or 0)
    assert await redis_client.exists(where.keys.work, where.keys.keep, where.keys.due) == 0
    await live.start(where, talk(1), replace=True, encoding="letters")
    assert (await live.info(where)).encoding == "letters"


async def test_ids_go_on(live: LiveStore, redis_client: Redis) -> None:
    """The new ids follow the old ones although the clock has stepped back, after a write of nothing too."""
    where = memory()
    await live.append(where, *talk(1))
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    await redis_client.xadd(where.keys.log, {"r": "user", "c": "", "n": "1"}, id=f"{ahead}-7")
    assert (await live.append(where, *talk(1), replace=True)).last_id == f"{ahead}-8"
    for _ in range(2):
        assert (await live.append(where, replace=True)).last_id is None
    assert (await live.append(where, *talk(2))).last_id == f"{ahead}-10"
    assert (await live.append(where, *talk(1))).last_id == f"{ahead}-11"
    assert not await redis_client.hexists(where.keys.meta, "floor")


async def test_a_write_of_nothing(live: LiveStore, redis_client: Redis) -> None:
    """Where no message may be kept, a memory is emptied by its write, and one that is not there is not made."""
    where = memory(SHORT)
    nothing = await live.append(where, replace=True)
    assert (nothing.first_id, nothing.messages, nothing.tokens) == (None, 0, 0)
    assert await redis_client.keys() == []
    await live.append(where, *talk(3))
    await live.append(where, replace=True)
    info = await live.info(where)
    assert (info.messages, info.tokens, info.first_id) == (0, 0, None)
    assert 0 < await redis_client.pttl(where.keys.meta) <= 3_600_000


async def test_a_write_above_the_limit_changes_nothing(live: LiveStore, redis_client: Redis) -> None:
    """What alone exceeds a hard limit is refused whole; what fits replaces a memory that was full."""
    where = memory(BOUNDED)
    await live.append(where, *talk(2))
    state = await LiveMemory(redis_client, BOUNDED).state()
    with pytest.raises(OverBudget):
        await live.append(where, ("user", "long", 101), replace=True)
    after: Any = await LiveMemory(redis_client, BOUNDED).state()
    assert (after[0], after[3]) == (state[0], state[3])
    assert (await live.append(where, ("user", "fits", 100), replace=True)).tokens == 100


async def test_a_repeated_write_is_not_made_twice(live: LiveStore) -> None:
    """Under its idempotency token a write has its first answer, and what was appended since stays."""
    where = memory(ENDLESS)
    first = await live.append(where, *talk(1), replace=True, idempotent="x")
    await live.append(where, *talk(1))
    assert await live.append(where, *talk(1), replace=True, idempotent="x") == replace(first, duplicate=True)
    assert (await live.info(where)).messages == 2


@pytest.mark.parametrize("key", ["log", "keep", "due"])
async def test_a_foreign_key_stops_the_write_before_it_begins(live: LiveStore, redis_client: Redis, key: str) -> None:
    """Where a key of the memory is of another type, the write is an error, and what was there stays."""
    where = memory(DUE)
    await live.append(where, ("system", "be kind", 10), *talk(3))
    await redis_client.delete(getattr(where.keys, key))
    await redis_client.set(getattr(where.keys, key), "mine")
    names = sorted(await redis_client.keys())
    before = [await redis_client.dump(name) for name in names]
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await live.append(where, ("user", "hello", 4), replace=True)
    assert sorted(await redis_client.keys()) == names
    assert [await redis_client.dump(name) for name in names] == before
