"""`read.lua` notes when it returned a message, for the strategies that ask: what, when, for how long, and where not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.definition import Definition, FlushPolicy
from sidecar.memory.requests import ReadRequest
from tests.flush.memories import talk
from tests.store.live import LiveStore, memory

RECALLED = Definition(id="recalled", max_tokens=None, flush=FlushPolicy(strategy="lru"))
BRIEFLY = replace(RECALLED, id="briefly", ttl_ms=3_600_000)


async def noted(redis: Redis, definition: Definition) -> dict[str, int]:
    """Return the access times."""
    pairs: Any = await redis.zrange(memory(definition).keys.seen, 0, -1, withscores=True)
    return {id_.decode(): int(score) for id_, score in pairs}


@pytest.mark.parametrize("strategy", ["lru", "token_aware_lru"])
async def test_what_is_returned_was_used_now(live: LiveStore, redis_client: Redis, strategy: str) -> None:
    """A read notes Redis's time for exactly the messages that it returns."""
    where = memory(replace(RECALLED, flush=FlushPolicy(strategy=strategy)))
    await live.append(where, *talk(10, tokens=10))
    read = await live.read(where, tokens=35, touch=True)
    times = await noted(redis_client, where.definition)
    assert len(read.messages) == 3
    assert set(times) == {message.id for message in read.messages}
    now = time.time() * 1000  # the Redis is on this machine
    assert all(now - 60_000 < at <= now for at in times.values())


async def test_the_latest_read_counts(live: LiveStore, redis_client: Redis) -> None:
    """A message that is read again was used later."""
    where = memory(RECALLED)
    await live.append(where, *talk(2))
    [first, _] = (await live.read(where, touch=True)).messages
    await redis_client.zadd(where.keys.seen, {first.id: 5})
    await live.read(where, most=1, touch=True)
    assert (await noted(redis_client, RECALLED))[first.id] == 5
    await live.read(where, touch=True)
    assert (await noted(redis_client, RECALLED))[first.id] > 5


async def test_more_messages_than_one_command_takes(live: LiveStore, redis_client: Redis) -> None:
    """A read of thousands of messages notes all of them."""
    where = memory(RECALLED)
    for _ in range(9):
        await live.append(where, *talk(500))
    await live.read(where, touch=True)
    assert len(await noted(redis_client, RECALLED)) == 4_500


async def test_a_message_that_is_cut(live: LiveStore, redis_client: Redis) -> None:
    """What is returned in a shorter form was used, too."""
    where = memory(RECALLED)
    await live.append(where, ("user", "long", 100))
    found = await live.find(ReadRequest(where, tokens=50, oversize="truncate"))
    assert set(await noted(redis_client, RECALLED)) == {message.id for message in found.cut}
    assert found.cut


async def test_a_look_is_no_use(live: LiveStore, redis_client: Redis) -> None:
    """PEEK notes nothing; neither does a read that returns nothing."""
    where = memory(RECALLED)
    await live.read(where, touch=True)
    await live.append(where, *talk(3))
    await live.read(where, touch=False)
    await live.read(where, tokens=0, touch=True)
    assert not await redis_client.exists(where.keys.seen)


@pytest.mark.parametrize(
    "definition",
    [
        Definition(id="by-age", flush=FlushPolicy(strategy="fifo")),
        Definition(id="ring", type="buffer", max_messages=9, overflow="trim", flush=FlushPolicy(strategy="lru")),
    ],
    ids=lambda definition: definition.id,
)
async def test_who_does_not_ask_does_not_pay(live: LiveStore, redis_client: Redis, definition: Definition) -> None:
    """Memories that are never flushed by their access times have none."""
    where = memory(definition)
    await live.append(where, *talk(3))
    await live.read(where, touch=True)
    assert not await redis_client.exists(where.keys.seen)


@pytest.mark.parametrize("definition", [RECALLED, Definition(id="lives", ttl_ms=3_600_000)], ids=lambda each: each.id)
async def test_a_user_who_may_only_read(
    live: LiveStore, redis_client: Redis, redis_url: str, definition: Definition
) -> None:
    """To note a read takes the right to write, as to extend a life does; a look with PEEK takes none."""
    where = memory(definition)
    await live.append(where, *talk(3))
    rights = ("on", ">secret", "~mem:*", "+@read", "+@scripting", "+@connection", "+time", "+@pubsub", "allchannels")
    await redis_client.execute_command("ACL", "SETUSER", "reader", *rights)  # type: ignore[no-untyped-call]
    try:
        async with LiveStore(redis_url, user=("reader", "secret")) as reader:
            assert len((await reader.read(where, touch=False)).messages) == 3
            with pytest.raises(RedisRefused, match="NOPERM"):
                await reader.read(where, touch=True)
    finally:
        await redis_client.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]


async def test_times_end_with_the_memory(live: LiveStore, redis_client: Redis) -> None:
    """Access times expire together with the memory; without a ttl they stay, as it does."""
    where = memory(BRIEFLY)
    await live.append(where, *talk(3))
    for _ in range(2):
        await live.read(where, touch=True)
        async with redis_client.pipeline(transaction=True) as pipeline:
            for key in (where.keys.log, where.keys.meta, where.keys.seen):
                pipeline.pttl(key)
            left = await pipeline.execute()
        assert max(left) - min(left) <= 1  # the clock may go on between two looks
        assert 3_600_000 - 60_000 < left[0] <= 3_600_000
    endless = replace(where, definition=replace(BRIEFLY, ttl_ms=None))
    await live.read(endless, touch=True)
    assert await redis_client.pttl(where.keys.seen) == -1


async def test_clearing_forgets_the_times(live: LiveStore, redis_client: Redis) -> None:
    """A memory that is cleared leaves no access times behind."""
    where = memory(RECALLED)
    await live.append(where, *talk(3))
    await live.read(where, touch=True)
    await live.clear(where)
    assert not await redis_client.exists(where.keys.seen)
