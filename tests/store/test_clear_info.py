"""`clear.lua` and `info.lua`: the end of a memory, and its state in between."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.definition import Definition
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import MemoryInfo
from tests.flush.memories import LiveMemory, talk
from tests.store.live import DUE, ENCODING, SHORT, LiveStore, change, memory, score


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---- clear ----


async def test_a_clear_removes_everything(live: LiveStore, redis_client: Redis) -> None:
    """Messages, totals, instructions, staged work and the mark go; the answer is the number of messages."""
    where = memory(DUE)
    await live.append(where, ("system", "be kind", 10), *talk(20))
    await redis_client.hset(where.keys.work, "run", "x")
    await redis_client.zadd(where.keys.due, {"another": 1})
    assert len(await redis_client.keys()) == 5
    assert await live.clear(where) == 21
    assert await redis_client.keys() == [where.keys.due.encode()]
    assert await redis_client.zrange(where.keys.due, 0, -1) == [b"another"]


async def test_a_second_clear_finds_nothing(live: LiveStore) -> None:
    """Clearing what is not there, or not any more, answers 0."""
    where = memory()
    assert await live.clear(where) == 0
    await live.append(where, *talk(3))
    assert await live.clear(where) == 3
    assert await live.clear(where) == 0


async def test_the_next_memory_is_another_one(live: LiveStore, redis_client: Redis) -> None:
    """After a clear totals begin anew, and the epoch tells the two memories apart."""
    where = memory(DUE)
    await live.append(where, ("system", "be kind", 1_000))
    first = await live.info(where)
    await live.clear(where)
    result = await live.append(where, ("user", "hello", 4))
    second = await live.info(where)
    assert (result.messages, result.tokens, result.flush) == (1, 4, "none")
    assert second.epoch is not None
    assert first.epoch is not None
    assert second.epoch > first.epoch
    assert second.pinned_tokens == 0
    await LiveMemory(redis_client, DUE).assert_totals()


async def test_a_cleared_memory_takes_another_encoding(live: LiveStore) -> None:
    """The encoding belongs to the counts, and goes with them."""
    where = memory()
    await live.append(where, *talk(1))
    await live.clear(where)
    await live.start(where, talk(1), encoding="letters")
    assert (await live.info(where)).encoding == "letters"


@pytest.mark.parametrize("key", ["log", "due"])
async def test_a_foreign_key_stops_the_clear_before_it_begins(live: LiveStore, redis_client: Redis, key: str) -> None:
    """Where log or outbox is of another type, the clear is an error and deletes nothing."""
    where = memory()
    await live.append(where, ("system", "be kind", 10), *talk(2))
    await redis_client.delete(getattr(where.keys, key))
    await redis_client.set(getattr(where.keys, key), "mine")
    before = sorted(await redis_client.keys())
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await live.clear(where)
    assert sorted(await redis_client.keys()) == before


REMEMBERING = Definition("remembering", max_tokens=None, ttl_after_clear_ms=600_000)


@pytest.mark.parametrize("clears", [1, 2, 3])
async def test_ids_go_on_behind_what_was_cleared(live: LiveStore, redis_client: Redis, clears: int) -> None:
    """Where the last id is remembered, a clock that steps back makes no id smaller, however often one clears."""
    where = memory(REMEMBERING)
    await live.append(where, *talk(1))
    ahead = now_ms() + 3_600_000
    await redis_client.xadd(where.keys.log, {"r": "user", "c": "", "n": "1"}, id=f"{ahead}-7")
    for _ in range(clears):
        await live.clear(where)
    assert 0 < await redis_client.pttl(where.keys.meta) <= 600_000
    result = await live.append(where, *talk(2))
    assert (result.first_id, result.last_id) == (f"{ahead}-8", f"{ahead}-9")
    assert await redis_client.pttl(where.keys.meta) == -1


async def test_who_waits_for_a_message_still_waits_after_a_clear(live: LiveStore, redis_client: Redis) -> None:
    """A reader that had nothing to read is told of the first append after a clear, and leaves nothing behind."""
    where = memory()
    await live.append(where, *talk(1))
    await live.find(ReadRequest(where, since="$"), wait_ms=60_000)
    async with live.wakeups.watch(where.keys.wake) as watch:
        assert await watch.ready()
        await live.clear(where)
        assert 0 < await redis_client.pttl(where.keys.meta) <= 60_000
        await live.append(where, *talk(1))
        async with asyncio.timeout(10):
            await watch.woken()
    assert await redis_client.pttl(where.keys.meta) == -1


# ---- info ----


async def test_every_field(live: LiveStore, redis_client: Redis) -> None:
    """The state has each fact that Redis holds about the memory, and the limits of its definition."""
    where = memory(DUE)
    result = await live.append(where, ("system", "be kind", 100), *talk(20))
    since = await score(redis_client, where.keys.due, where.keys.name)
    flushed = {"last_flush": "123", "last_strategy": "fifo", "last_status": "done"}
    await change(redis_client, where, {"summary_tokens": 40, **flushed})
    epoch = await redis_client.hget(where.keys.meta, "epoch")
    assert epoch is not None
    found = await live.info(where)
    assert found == MemoryInfo(
        messages=21,
        tokens=1_100,
        summary_tokens=40,
        pinned_tokens=100,
        limit_tokens=1_000,
        limit_messages=None,
        flush="due",
        flush_due_since_ms=int(since),
        last_flush_ms=123,
        last_flush_strategy="fifo",
        last_flush_error=None,
        epoch=int(epoch),
        ttl_ms=None,
        encoding=ENCODING,
        first_id=result.first_id,
        last_id=result.last_id,
        due_for_ms=found.due_for_ms,
    )
    assert found.due_for_ms is not None
    assert 0 <= found.due_for_ms < 60_000


async def test_the_rest_of_the_life_time(live: LiveStore, redis_client: Redis) -> None:
    """A memory that expires says when, and asking does not extend its life."""
    where = memory(SHORT)
    await live.append(where, *talk(1))
    await redis_client.pexpire(where.keys.meta, 60_000)
    ttl_ms = (await live.info(where)).ttl_ms
    assert ttl_ms is not None
    assert 50_000 < ttl_ms <= 60_000
    assert await redis_client.pttl(where.keys.meta) <= 60_000


STATES = [
    pytest.param({}, False, "none", id="nothing"),
    pytest.param({}, True, "due", id="marked"),
    pytest.param({"flush_until": 60_000}, True, "running", id="a lease is held"),
    pytest.param({"flush_until": -1}, True, "due", id="a lease has run out"),
    pytest.param({"last_status": "failed"}, True, "failed", id="the last flush failed"),
    pytest.param({"last_status": "done"}, False, "none", id="the last flush was done"),
    pytest.param({"last_status": "failed", "flush_until": 60_000}, True, "running", id="it is tried again"),
]


@pytest.mark.parametrize(("meta", "marked", "flush"), STATES)
async def test_the_state_of_the_flush(
    live: LiveStore, redis_client: Redis, meta: dict[str, str | int], marked: bool, flush: str
) -> None:
    """A flush is running, failed, due or none, in this order of precedence."""
    where = memory()
    await live.append(where, *talk(1))
    found = {name: now_ms() + value if isinstance(value, int) else value for name, value in meta.items()}
    if found:
        await change(redis_client, where, {**found, "last_error": "no reason"})
    if marked:
        await redis_client.zadd(where.keys.due, {where.keys.name: 77})
    info = await live.info(where)
    assert (info.flush, info.flush_due_since_ms) == (flush, 77 if marked else None)
    assert info.last_flush_error == ("no reason" if found else None)


async def test_an_unknown_memory_has_no_state(live: LiveStore, redis_client: Redis) -> None:
    """Of a memory that does not exist there are only the definition's limits and encoding; asking creates nothing."""
    known = {name: value for name, value in asdict(await live.info(memory(DUE))).items() if value}
    assert known == {"limit_tokens": 1_000, "flush": "none", "encoding": DUE.encoding}
    assert await redis_client.keys() == []


async def test_foreign_totals_are_an_error_not_a_hang(live: LiveStore, redis_client: Redis) -> None:
    """Totals that are no numbers answer an error that names the key, and the connection goes on."""
    where = memory()
    await live.append(where, *talk(1))
    await redis_client.hset(where.keys.meta, "summary_tokens", "many")
    with pytest.raises(RedisRefused, match=where.keys.meta):
        await live.info(where)
    await live.sent(live.ping)
    assert live.reconnects == 0
