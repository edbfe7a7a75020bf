"""The lines in which changes leave: their order, and what becomes of those that somebody else's lease keeps out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import Locked, RedisRefused, StaleLock, Unavailable
from sidecar.memory.definition import Definition, LockPolicy
from sidecar.store.changes import as_error
from tests.flush.memories import LiveMemory, talk
from tests.store.live import ENDLESS, LiveStore, memory
from tests.support.waiting import eventually

WHERE = memory()


async def test_all_changes_keep_their_order(live: LiveStore, redis_client: Redis) -> None:
    """Appends, deletes, pins, writes and a clear on one memory are made as they were called, without waiting."""
    first = await live.append(WHERE, *talk(1))
    ids, store = [first.first_id or ""], live.store
    calls: list[Any] = [
        live.start(WHERE, [("user", "a", 3)]),
        live.sent(lambda done: store.pin(WHERE, ids, done, pin=True)),
        live.sent(lambda done: store.delete(WHERE, ids, done)),
        live.start(WHERE, [("user", "b", 3)]),
        live.start(WHERE, [("user", "c", 3)], replace=True),
        live.start(WHERE, [("user", "d", 3)]),
        live.sent(lambda done: store.clear(WHERE, done)),
        live.start(WHERE, [("user", "e", 3)]),
    ]
    results = await asyncio.gather(*calls)
    assert [getattr(result, "messages", result) for result in results] == [2, 1, 1, 2, 1, 2, 2, 1]
    assert [message.content for message in await LiveMemory(redis_client, ENDLESS).messages()] == ["e"]


@pytest.mark.parametrize("wait_ms", [0, 50])
async def test_who_waits_too_long_is_refused(live: LiveStore, redis_client: Redis, wait_ms: int) -> None:
    """Each change waits as long as its definition says, and is refused with what is left of the lease."""
    where = memory(Definition("hasty", max_tokens=None, locking=LockPolicy(wait_ms=wait_ms)))
    granted = await live.locks.acquire(where, lease_ms=60_000)
    calls = [live.start(where, talk(1)), live.start(where, talk(1))]
    with pytest.raises(Locked) as problem:
        await calls[0]
    assert 0 < problem.value.left_ms <= 60_000
    with pytest.raises(Locked):
        await calls[1]
    with pytest.raises(Locked):
        await live.delete(where, "1-1")
    assert live.changes.standing == 0
    assert live.tally.locks_refused == 3
    assert await redis_client.exists(where.keys.log) == 0
    await live.locks.release(where, granted.token)
    assert (await live.append(where, *talk(1))).messages == 1
    assert live.answered >= 3


async def test_a_lease_that_runs_out_lets_everybody_in(live: LiveStore) -> None:
    """Nobody tells of a lease that runs out; who waits finds out, in the order of the calls."""
    await live.locks.acquire(WHERE, lease_ms=150)
    waiting = [live.start(WHERE, [("user", str(number), 3)]) for number in range(20)]
    results: list[Any] = await asyncio.gather(*waiting)
    assert [result.messages for result in results] == list(range(1, 21))
    assert [message.content for message in (await live.read(WHERE)).messages] == [str(number) for number in range(20)]


async def test_a_repetition_passes_a_lost_lease(live: LiveStore) -> None:
    """An append that was stored under a lease is answered when it is sent again, also when the lease is over; others
    of its batch are refused."""
    granted = await live.locks.acquire(WHERE, lease_ms=60_000)
    first = await live.append(WHERE, *talk(1), token=granted.token, idempotent="x")
    await live.locks.release(WHERE, granted.token)
    others = [live.start(WHERE, talk(1), token=granted.token) for _ in range(2)]
    again = live.start(WHERE, talk(1), token=granted.token, idempotent="x")
    assert await again == replace(first, duplicate=True)
    for each in others:
        with pytest.raises(StaleLock):
            await each
    assert (await live.info(WHERE)).messages == 1


async def test_a_repetition_passes_somebody_else_s_lease(live: LiveStore) -> None:
    """What was stored before the lease is answered, although new appends wait."""
    where = memory(Definition("hasty", max_tokens=None, locking=LockPolicy(wait_ms=0)))
    first = await live.append(where, *talk(1), idempotent="x")
    await live.locks.acquire(where, lease_ms=60_000)
    assert await live.append(where, *talk(1), idempotent="x") == replace(first, duplicate=True)
    with pytest.raises(Locked):
        await live.append(where, *talk(1), idempotent="y")


async def test_the_process_is_stopped(live: LiveStore) -> None:
    """What stands still when the process leaves is unavailable: nothing of it was stored."""
    await live.locks.acquire(WHERE, lease_ms=60_000)
    waiting = [live.start(WHERE, talk(1)) for _ in range(3)]
    await eventually(lambda: live.changes.standing == 3)
    await live.changes.close()
    for each in waiting:
        with pytest.raises(Unavailable, match="being stopped"):
            await each
    assert live.changes.standing == 0
    assert (await live.info(WHERE)).messages == 0


async def test_other_memories_do_not_stand_still(live: LiveStore) -> None:
    """A lease keeps out of its own memory alone."""
    await live.locks.acquire(WHERE, lease_ms=60_000)
    standing = live.start(WHERE, talk(1))
    await eventually(lambda: live.changes.standing == 1)
    assert (await live.append(memory(instance="other"), *talk(1))).messages == 1
    assert not standing.done()
    await live.changes.close()
    await asyncio.gather(standing, return_exceptions=True)


def test_what_is_no_reply_of_a_script() -> None:
    """An error is itself; anything else says that versions differ."""
    away = Unavailable("refused")
    assert as_error(away) is away
    assert isinstance(as_error(3), RedisRefused)
    assert "do its versions differ" in str(as_error(None))


async def test_a_long_line_is_refused(redis_url: str) -> None:
    """Where Redis does not let us in, each change of a long line is answered, one after the other."""
    answers: list[Any] = []
    async with LiveStore(redis_url, user=("nobody", "wrong")) as live:
        for _ in range(2_000):
            live.store.pin(WHERE, ["1-1"], answers.append, pin=True)
        await eventually(lambda: len(answers) == 2_000)
    assert all(isinstance(answer, RedisRefused) for answer in answers)
