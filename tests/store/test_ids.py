"""Ids of messages grow within a memory whatever is done to it, also while the clock of Redis is behind.

The clock cannot be set here. A memory whose last id lies in the future is what one finds whose clock has stepped back.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition
from sidecar.memory.requests import ForkRequest
from sidecar.store.flush_store import FlushStore
from sidecar.store.fork import Forks
from tests.flush.memories import SPACE, LiveMemory, talk
from tests.store.committing import Flush
from tests.store.live import ENDLESS, LiveStore, memory

REMEMBERED = Definition(id="remembered", max_tokens=None, ttl_after_clear_ms=3_600_000)
"""What was cleared is remembered for an hour."""

AHEAD_MS = 36_000_000

HELLO = ("user", "hello", 3)

Number = tuple[int, int]
Change = Callable[[LiveStore, Redis, Memory], Awaitable[None]]


def number(id_: str | None) -> Number:
    assert id_ is not None
    ms, sequence = id_.split("-")
    return int(ms), int(sequence)


async def from_the_future(live: LiveStore, redis: Redis, where: Memory) -> Number:
    """Make a memory of six messages after which the clock has stepped back; return its last id."""
    future = f"{time.time_ns() // 1_000_000 + AHEAD_MS}-7"
    await live.append(where, ("system", "be kind", 5), *talk(4))
    await redis.execute_command("XSETID", where.keys.log, future)  # type: ignore[no-untyped-call]
    last = number((await live.append(where, HELLO)).last_id)
    assert last == (number(future)[0], 8)
    return last


async def ids(redis: Redis, where: Memory) -> list[Number]:
    entries: Any = await redis.xrange(where.keys.log)
    return [number(id_.decode()) for id_, _ in entries]


async def deleted(live: LiveStore, where: Memory, *ids: str) -> int:
    """Delete messages and return how many went."""

    def delete(done: Callable[[int | BaseException], None]) -> None:
        live.store.delete(where, ids, done)

    return await live.sent(delete)


# ---- what may be done to a memory ----


async def nothing(live: LiveStore, redis: Redis, where: Memory) -> None:
    """Leave it as it is."""


async def delete_the_last(live: LiveStore, redis: Redis, where: Memory) -> None:
    last = (await live.info(where)).last_id
    assert last is not None
    assert await deleted(live, where, last) == 1


async def delete_all(live: LiveStore, redis: Redis, where: Memory) -> None:
    await deleted(live, where, *(message.id for message in (await live.read(where)).messages))


async def flush_all(live: LiveStore, redis: Redis, where: Memory) -> None:
    definition = where.definition
    flush = await Flush(FlushStore(redis, SPACE), LiveMemory(redis, definition, where.instance)).begin()
    protected = await redis.zrange(where.keys.keep, 0, -1)
    going = [message.id for message in (await live.read(where)).messages if message.id.encode() not in protected]
    await flush.stage(going)
    assert (await flush.commit()).code == "committed"


async def write(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.append(where, HELLO, ("assistant", "hi", 3), replace=True)


async def write_twice(live: LiveStore, redis: Redis, where: Memory) -> None:
    await write(live, redis, where)
    await write(live, redis, where)


async def write_nothing(live: LiveStore, redis: Redis, where: Memory) -> None:
    """As a MEMWRITE of messages none of which may be stored."""
    await live.append(where, replace=True)


async def write_nothing_twice(live: LiveStore, redis: Redis, where: Memory) -> None:
    await write_nothing(live, redis, where)
    await write_nothing(live, redis, where)


async def clear(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)


async def clear_twice(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)
    assert await live.clear(where) == 0


async def clear_and_write(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)
    await write(live, redis, where)


async def clear_and_write_nothing(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)
    await write_nothing(live, redis, where)


async def write_nothing_and_clear(live: LiveStore, redis: Redis, where: Memory) -> None:
    await write_nothing(live, redis, where)
    await live.clear(where)


async def clear_and_append_nothing(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)
    await live.append(where)


async def clear_and_fork(live: LiveStore, redis: Redis, where: Memory) -> None:
    await live.clear(where)
    await fork_into(live, where)


async def write_nothing_and_fork(live: LiveStore, redis: Redis, where: Memory) -> None:
    await write_nothing(live, redis, where)
    await fork_into(live, where)


async def delete_all_and_fork(live: LiveStore, redis: Redis, where: Memory) -> None:
    await delete_all(live, redis, where)
    await fork_into(live, where)


async def fork_into(live: LiveStore, target: Memory) -> None:
    source = memory(target.definition, "source")
    await live.append(source, *talk(3))
    copied = await Forks(live.pipe, live.locks).fork(ForkRequest(source, target))
    assert copied.messages == 3


CHANGES: list[Change] = [
    nothing, delete_the_last, delete_all, flush_all, write, write_twice, write_nothing, write_nothing_twice, clear,
    clear_twice, clear_and_write, clear_and_write_nothing, write_nothing_and_clear, clear_and_append_nothing,
    clear_and_fork, write_nothing_and_fork, delete_all_and_fork,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_ids_go_on_behind_the_last_one(live: LiveStore, redis_client: Redis, change: Change) -> None:
    """Whatever became of the messages, the next ones have greater ids than any before, though the clock is behind."""
    where = memory(REMEMBERED)
    last = await from_the_future(live, redis_client, where)
    await change(live, redis_client, where)
    result = await live.append(where, HELLO, ("assistant", "hi", 3))
    assert last < number(result.first_id) < number(result.last_id)
    now_there = await ids(redis_client, where)
    assert now_there == sorted(set(now_there))
    assert now_there[-2:] == [number(result.first_id), number(result.last_id)]


async def test_a_write_s_own_ids(live: LiveStore, redis_client: Redis) -> None:
    """What replaces a memory has greater ids than what it replaces, which tells readers with SINCE that it is new."""
    where = memory(ENDLESS)
    last = await from_the_future(live, redis_client, where)
    result = await live.append(where, HELLO, HELLO, replace=True)
    assert last < number(result.first_id) < number(result.last_id)
    assert [message.id for message in (await live.read(where, since=f"{last[0]}-{last[1]}")).messages] == [
        result.first_id,
        result.last_id,
    ]


async def test_a_copy_goes_on_behind_its_source(live: LiveStore, redis_client: Redis) -> None:
    """A copy has the ids of its source, and its own messages come behind them."""
    source, target = memory(REMEMBERED, "source"), memory(REMEMBERED, "target")
    last = await from_the_future(live, redis_client, source)
    await Forks(live.pipe, live.locks).fork(ForkRequest(source, target))
    assert await ids(redis_client, target) == await ids(redis_client, source)
    assert number((await live.append(target, HELLO)).first_id) > last


async def test_a_definition_that_forgets(live: LiveStore, redis_client: Redis) -> None:
    """Without a time to remember, a clear leaves nothing at all, and ids begin anew at the clock."""
    where = memory(ENDLESS)
    last = await from_the_future(live, redis_client, where)
    await live.clear(where)
    assert await redis_client.keys() == []
    assert number((await live.append(where, HELLO)).first_id) < last


async def test_a_write_of_nothing_to_nothing(live: LiveStore, redis_client: Redis) -> None:
    """To replace a memory that is not there by no messages leaves nothing, least of all what never expires."""
    for definition in (ENDLESS, dataclasses.replace(ENDLESS, id="short", ttl_ms=3_600_000)):
        result = await live.append(memory(definition), replace=True)
        assert (result.messages, result.first_id) == (0, None)
    assert await redis_client.keys() == []
