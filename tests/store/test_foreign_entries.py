"""Entries that somebody else put into a log: what the scripts do then is done whole, or not at all."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from sidecar.memory.definition import Definition
from tests.flush.memories import LiveMemory, talk
from tests.store.live import ENDLESS, LiveStore, memory

TRIMMED = Definition("trimmed", max_tokens=None, max_messages=3, overflow="trim", type="buffer")


async def test_room_is_made_past_a_foreign_entry(live: LiveStore, redis_client: Redis) -> None:
    """An entry without a weight weighs nothing when it makes room; the append, and those beside it, are stored."""
    where = memory(TRIMMED)
    await live.append(where, ("user", "first", 5))
    await redis_client.xadd(where.keys.log, {"mine": "1"})
    results: list[Any] = [await live.start(where, talk(1, tokens=7)) for _ in range(5)]
    assert [result.messages for result in results][-1] == 3
    left: Any = await redis_client.xrange(where.keys.log)
    tokens = int((await LiveMemory(redis_client, TRIMMED).meta())["tokens"])
    assert tokens == sum(int(fields[b"n"]) for _, fields in left)


async def test_a_foreign_entry_is_pinned(live: LiveStore, redis_client: Redis) -> None:
    """Pinning one keeps it, and the others' totals are right."""
    where = memory()
    first = await live.append(where, ("user", "hi", 5))
    foreign: Any = await redis_client.xadd(where.keys.log, {"mine": "1"})
    ids = [foreign.decode(), first.last_id or ""]
    assert await live.pin(where, *ids) == 2
    meta = await LiveMemory(redis_client, ENDLESS).meta()
    assert (meta["kept_messages"], meta["kept_tokens"]) == ("2", "5")
    assert await live.pin(where, *ids, pin=False) == 2


async def test_a_foreign_entry_is_deleted(live: LiveStore, redis_client: Redis) -> None:
    """Deleting one, pinned or not, leaves totals that are those of the others."""
    where = memory()
    await live.append(where, ("user", "hi", 5))
    ids: list[str] = []
    for _ in range(2):
        foreign: Any = await redis_client.xadd(where.keys.log, {"mine": "1"})
        ids.append(foreign.decode())
    await live.pin(where, ids[0])
    assert await live.delete(where, *ids) == 2
    await LiveMemory(redis_client, ENDLESS).assert_totals()
    assert (await LiveMemory(redis_client, ENDLESS).meta())["kept_messages"] == "0"
