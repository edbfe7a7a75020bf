"""What comes in, on a real Redis: gathered aside, and made a memory in one step or not at all."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.message import Message
from sidecar.store.incoming import GATHERED_MS, Arrival, Gathered, Incoming, Present
from sidecar.store.outgoing import Summary
from tests.store.live import DUE, ENCODING, LiveStore, memory

TARGET = memory(DUE)
PAGE = [
    Arrival("5-0", Message("system", "be kind"), 10, False),
    Arrival("5-1", Message("user", "hi", '{"name":"Ann"}'), "7 plain", True),
    Arrival("9-0", Message("user", "rules"), "3 !rules", False),
]


async def aside(redis: Redis) -> list[bytes | str]:
    """Return the keys under which something is gathered."""
    found: list[bytes | str] = await redis.keys("mem:fork:*")
    return sorted(found)


async def test_a_page_out_of_place_is_not_written(redis_client: Redis) -> None:
    """A page is written behind what it was made for, and nowhere else; its sender learns how far things are."""
    incoming = Incoming(redis_client)
    assert await incoming.gather(TARGET, "n", ENCODING, PAGE, 0, "three") == Gathered(3, "three")
    for before in (0, 2, 4):
        assert await incoming.gather(TARGET, "n", ENCODING, PAGE, before, "other") == Gathered(3, "three")
    assert await incoming.gathered(TARGET, "n", ENCODING) == Gathered(3, "three")
    assert await incoming.gathered(TARGET, "other", ENCODING) == Gathered()


async def test_what_is_gathered_becomes_the_memory(live: LiveStore, redis_client: Redis) -> None:
    """Totals, pins, classes and summary are those of an append, and appends go on behind the last id."""
    incoming = Incoming(redis_client)
    assert await incoming.present(TARGET) == Present(False, "")
    await incoming.gather(TARGET, "n", ENCODING, PAGE, 0, "d")
    assert await incoming.commit(TARGET, "n", Summary("earlier", 6, 4, "1-0", "2-0"), "import:d") == "done"
    assert await incoming.present(TARGET) == Present(True, "import:d")
    assert await aside(redis_client) == []
    info = await live.info(TARGET)
    assert (info.messages, info.tokens, info.summary_tokens, info.pinned_tokens) == (3, 20, 6, 20)
    read = await live.read(TARGET, tokens=1_000)
    assert (read.summary, [message.id for message in read.messages]) == ("earlier", ["5-0", "5-1", "9-0"])
    appended = await live.append(TARGET, ("user", "more", 5))
    assert (appended.messages, appended.tokens) == (4, 25)


async def test_another_encoding_begins_anew(redis_client: Redis) -> None:
    """Counts of two vocabularies are not mixed."""
    incoming = Incoming(redis_client)
    await incoming.gather(TARGET, "n", ENCODING, PAGE, 0, "d")
    assert await incoming.gathered(TARGET, "n", "other") == Gathered()
    assert await aside(redis_client) == []


async def test_what_nobody_finishes_expires(redis_client: Redis) -> None:
    """What was gathered waits for a day."""
    await Incoming(redis_client).gather(TARGET, "n", ENCODING, PAGE, 0, "d")
    keys = await aside(redis_client)
    assert len(keys) == 3
    assert all([0 < await redis_client.pttl(key) <= GATHERED_MS for key in keys])


async def test_a_part_that_is_lost_is_noticed(redis_client: Redis) -> None:
    """What a full Redis has evicted in part does not become a memory."""
    incoming = Incoming(redis_client)
    for part in range(3):
        await incoming.gather(TARGET, "n", ENCODING, PAGE, 0, "d")
        await redis_client.delete((await aside(redis_client))[part])
        assert await incoming.commit(TARGET, "n", Summary("s", 1), "import:d") == "expired"
        assert await aside(redis_client) == []
        assert await incoming.present(TARGET) == Present(False, "")


async def test_a_key_of_another_type_stops_it(redis_client: Redis) -> None:
    """Where the outbox is no sorted set nothing is written, and what was gathered is still there."""
    incoming = Incoming(redis_client)
    await incoming.gather(TARGET, "n", ENCODING, PAGE, 0, "d")
    await redis_client.set(TARGET.keys.due, "odd")
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await incoming.commit(TARGET, "n", None, "import:d")
    assert await redis_client.exists(TARGET.keys.log) == 0
    await redis_client.delete(TARGET.keys.due)
    assert await incoming.commit(TARGET, "n", None, "import:d") == "done"
