"""What goes out, on a real Redis: a memory as it lies there, and the moment that it is of."""

from __future__ import annotations

from redis.asyncio import Redis

from sidecar.store.outgoing import PAGE_MESSAGES, Outgoing
from tests.flush.memories import SPACE, talk
from tests.store.live import ENCODING, LiveStore, memory

WHERE = memory()


async def test_a_memory_that_is_not_there(redis_client: Redis) -> None:
    """It has no snapshot and no pages."""
    outgoing = Outgoing(redis_client, SPACE)
    assert await outgoing.snapshot(WHERE.keys) is None
    assert [page async for page in outgoing.pages(WHERE.keys, "")] == []
    assert [page async for page in outgoing.pages(WHERE.keys, "9-9")] == []


async def test_pages_end_with_the_snapshot(live: LiveStore, redis_client: Redis) -> None:
    """A page has no more than its share, and what came later is in none."""
    outgoing = Outgoing(redis_client, SPACE)
    await live.append(WHERE, *talk(PAGE_MESSAGES + 1))
    await live.pin(WHERE, (await live.read(WHERE, most=1)).messages[0].id)
    snapshot = await outgoing.snapshot(WHERE.keys)
    assert snapshot is not None
    await live.append(WHERE, ("user", "later", 5))
    pages = [page async for page in outgoing.pages(WHERE.keys, snapshot.last_id)]
    assert [len(page) for page in pages] == [PAGE_MESSAGES, 1]
    assert (snapshot.messages, snapshot.encoding, snapshot.summary) == (PAGE_MESSAGES + 1, ENCODING, None)
    assert sum(entry.message.tokens for page in pages for entry in page) == snapshot.tokens
    assert pages[-1][-1].kept


async def test_the_moment_tells_a_removal_from_an_append(live: LiveStore, redis_client: Redis) -> None:
    """Appends and pins leave it as it is; a deletion, a clear and what comes after it do not."""
    outgoing = Outgoing(redis_client, SPACE)

    async def moment() -> tuple[str, str, str]:
        snapshot = await outgoing.snapshot(WHERE.keys)
        assert snapshot is not None
        return snapshot.moment

    first = await live.append(WHERE, *talk(3))
    assert first.first_id is not None
    before = await moment()
    await live.append(WHERE, ("user", "more", 5))
    await live.pin(WHERE, first.first_id)
    assert await moment() == before
    await live.delete(WHERE, first.first_id)
    deleted = await moment()
    assert deleted != before
    await live.clear(WHERE)
    await live.append(WHERE, *talk(3))
    assert await moment() not in (before, deleted)
