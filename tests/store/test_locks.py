"""Leases on a real Redis: one holder, fences that grow, waits without storms, and nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest
from redis.asyncio import Redis

from sidecar.errors import Locked, StaleLock
from sidecar.memory.definition import Definition, LockPolicy
from sidecar.memory.results import LockGranted
from tests.flush.memories import talk
from tests.store.live import SHORT, LiveStore, calls, memory
from tests.support.waiting import eventually

WHERE = memory(SHORT, "locked")


async def test_one_holds_it(live: LiveStore, redis_client: Redis) -> None:
    """A lease is granted once; others are told how long it lasts; its holder alone can extend and release it."""
    granted = await live.locks.acquire(WHERE, lease_ms=5_000)
    assert await redis_client.get(WHERE.keys.lock) == granted.token.encode()
    with pytest.raises(Locked) as problem:
        await live.locks.acquire(WHERE, lease_ms=5_000)
    assert 4_000 < problem.value.left_ms <= 5_000
    assert "LOCKED somebody else holds the lock" in problem.value.reply()
    with pytest.raises(StaleLock):
        await live.locks.extend(WHERE, "another", lease_ms=5_000)
    assert not await live.locks.release(WHERE, "another")
    extended = await live.locks.extend(WHERE, granted.token, lease_ms=60_000)
    assert extended == LockGranted(granted.token, granted.fence, 60_000)
    assert 59_000 < (await live.locks.held(WHERE) or 0) <= 60_000
    assert await live.locks.release(WHERE, granted.token)
    assert await live.locks.held(WHERE) is None
    assert not await live.locks.release(WHERE, granted.token)
    with pytest.raises(StaleLock):
        await live.locks.extend(WHERE, granted.token, lease_ms=5_000)


async def test_fences_grow(live: LiveStore, redis_client: Redis) -> None:
    """Each lease has a greater fence: after a release, after it has run out, and after all keys are gone."""
    fences = []
    for end in ("release", "expire", "lose", "lose"):
        granted = await live.locks.acquire(WHERE, lease_ms=5_000)
        fences.append(granted.fence)
        if end == "release":
            await live.locks.release(WHERE, granted.token)
        elif end == "expire":
            await redis_client.pexpire(WHERE.keys.lock, 1)
            await eventually(lambda: _gone(redis_client), why="the lease did not run out")
        else:
            await redis_client.flushdb()
    assert fences == sorted(set(fences))
    await redis_client.hset(WHERE.keys.meta, "lock_fence", fences[-1] + 10**12)  # the clock has stepped back
    assert (await live.locks.acquire(WHERE, lease_ms=5_000)).fence == fences[-1] + 10**12 + 1


async def _gone(redis: Redis) -> bool:
    return not await redis.exists(WHERE.keys.lock)


async def test_a_lease_on_nothing_leaves_nothing(live: LiveStore, redis_client: Redis) -> None:
    """A memory that is locked and never written ends with its lease; one that is written lives on."""
    await live.locks.acquire(WHERE, lease_ms=50)
    await eventually(lambda: _empty(redis_client), why="something was left")
    endless = memory(instance="endless")
    granted = await live.locks.acquire(endless, lease_ms=60_000)
    assert await redis_client.pttl(endless.keys.meta) > 0
    await live.append(endless, ("user", "hi", 3), token=granted.token)
    assert await redis_client.pttl(endless.keys.meta) == -1


async def _empty(redis: Redis) -> bool:
    return not await redis.dbsize()


async def test_mutual_exclusion(redis_url: str, redis_client: Redis) -> None:
    """Fifty contenders in five processes never hold it together, and a counter that is not atomic comes out right."""
    inside = 0
    fences: list[int] = []

    async def contend(process: LiveStore) -> None:
        nonlocal inside
        granted = await process.locks.acquire(WHERE, lease_ms=30_000, wait_ms=60_000)
        inside += 1
        assert inside == 1
        fences.append(granted.fence)
        seen = int(await redis_client.get("counter") or 0)
        await asyncio.sleep(0)
        await redis_client.set("counter", seen + 1)
        inside -= 1
        assert await process.locks.release(WHERE, granted.token)

    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(LiveStore(redis_url, sidecar_id=f"s{n}")) for n in range(5)]
        await asyncio.gather(*(contend(process) for process in processes for _ in range(10)))
    assert int(await redis_client.get("counter") or 0) == 50
    assert fences == sorted(set(fences))
    assert sum(process.tally.locks_acquired for process in processes) == 50
    assert all(process.locks.waiters == 0 for process in processes)


async def test_no_polling_storm(live: LiveStore, redis_client: Redis) -> None:
    """However many wait in a process, one asks: a lease that is passed on costs a few scripts, not one per waiter."""
    first = await live.locks.acquire(WHERE, lease_ms=30_000)
    waiting = [asyncio.ensure_future(_turn(live)) for _ in range(50)]
    await eventually(lambda: live.locks.waiters == 50 and live.wakeups.channels == 1, why="they do not wait")
    await redis_client.config_resetstat()
    await live.locks.release(WHERE, first.token)
    await asyncio.gather(*waiting)
    assert await calls(redis_client, "evalsha") <= 1 + 50 * 4


async def _turn(live: LiveStore) -> None:
    granted = await live.locks.acquire(WHERE, lease_ms=30_000, wait_ms=60_000)
    await live.locks.release(WHERE, granted.token)


async def test_first_come_first_served(live: LiveStore) -> None:
    """Those who wait in one process get it in the order in which they came, and are told how long they waited."""
    first = await live.locks.acquire(WHERE, lease_ms=30_000)
    served: list[int] = []

    async def queue(number: int) -> None:
        granted = await live.locks.acquire(WHERE, lease_ms=30_000, wait_ms=60_000)
        served.append(number)
        assert granted.waited_ms > 0
        await live.locks.release(WHERE, granted.token)

    def waits(clients: int) -> bool:
        return live.locks.waiters == clients

    waiting = []
    for number in range(10):
        waiting.append(asyncio.ensure_future(queue(number)))
        await eventually(partial(waits, number + 1), why="it does not wait")
    await asyncio.sleep(0.01)
    await live.locks.release(WHERE, first.token)
    await asyncio.gather(*waiting)
    assert served == list(range(10))


async def test_a_lease_that_runs_out(live: LiveStore) -> None:
    """Whoever waits gets a lease that nobody releases when it has run out; who waits less is refused in time."""
    await live.locks.acquire(WHERE, lease_ms=300)
    with pytest.raises(Locked) as problem:
        await live.locks.acquire(WHERE, lease_ms=1_000, wait_ms=50)
    assert problem.value.left_ms <= 250
    granted = await live.locks.acquire(WHERE, lease_ms=1_000, wait_ms=60_000)
    assert 100 < granted.waited_ms < 10_000
    assert (live.tally.locks_acquired, live.tally.locks_refused) == (2, 1)


async def test_somebody_who_has_gone(live: LiveStore) -> None:
    """Who is cancelled leaves the line without a trace, also while his command is under way; the next one is served."""
    first = await live.locks.acquire(WHERE, lease_ms=30_000)
    gone = [asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=30_000, wait_ms=60_000)) for _ in range(3)]
    last = asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=30_000, wait_ms=60_000))
    await eventually(lambda: live.locks.waiters == 4, why="they do not wait")
    gone[1].cancel()
    await live.locks.release(WHERE, first.token)
    gone[0].cancel()
    gone[2].cancel()
    granted = await last
    assert await live.locks.release(WHERE, granted.token)
    assert live.locks.waiters == 0
    for _ in range(20):  # the command is sent, and its answer is nobody's
        asked = asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=30_000))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    await eventually(lambda: _free(live), why="a lease of nobody was left")


async def _free(live: LiveStore) -> bool:
    return await live.locks.held(WHERE) is None


async def test_broken_connections(live: LiveStore, redis_client: Redis) -> None:
    """A connection that breaks between command and answer grants one lease: the token says that it is the same."""
    for _ in range(20):
        asked = asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=30_000, wait_ms=10_000))
        await asyncio.sleep(0)
        await redis_client.client_kill_filter(_type="normal", skipme=True)
        granted = await asked
        assert await live.locks.release(WHERE, granted.token)
    assert live.reconnects > 0


async def test_wakeups_survive_their_connection(live: LiveStore, redis_client: Redis) -> None:
    """Who waits is woken also when the subscription was lost meanwhile."""
    first = await live.locks.acquire(WHERE, lease_ms=60_000)
    waiting = asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=1_000, wait_ms=60_000))
    await eventually(lambda: _subscribed(redis_client), why="it is not subscribed")
    await redis_client.client_kill_filter(_type="pubsub")
    await live.locks.release(WHERE, first.token)
    async with asyncio.timeout(20):
        await waiting


async def _subscribed(redis: Redis) -> bool:
    return bool(await redis.pubsub_numsub(WHERE.keys.wake) == [(WHERE.keys.wake.encode(), 1)])


async def test_a_lease_is_renewed(live: LiveStore, redis_client: Redis) -> None:
    """A lease that is held outlives its length many times, and ends with the block."""
    async with live.locks.hold(WHERE, lease_ms=300) as lease:
        for _ in range(5):
            await redis_client.pexpire(WHERE.keys.lock, 250)
            await eventually(lambda: _above(redis_client, 260), why="it was not renewed")
        assert not lease.lost.is_set()
    assert await live.locks.held(WHERE) is None
    assert live.tally.locks_lost == 0


async def _above(redis: Redis, ms: int) -> bool:
    return await redis.pttl(WHERE.keys.lock) > ms


async def test_a_lease_that_is_lost(live: LiveStore, redis_client: Redis) -> None:
    """Its holder is told when somebody else has the lease, and does not take it away at the end."""
    async with live.locks.hold(WHERE, lease_ms=300) as lease:
        await redis_client.set(WHERE.keys.lock, "another", px=60_000)
        async with asyncio.timeout(20):
            await lease.lost.wait()
    assert await redis_client.get(WHERE.keys.lock) == b"another"
    assert live.tally.locks_lost == 1


async def test_without_the_right_to_channels(live: LiveStore, redis_url: str, redis_client: Redis) -> None:
    """A user who may neither publish nor subscribe can lock, wait and release; whoever waits then looks by himself."""
    rights = ("on", ">pw", "~mem:*", "+@all", "-@admin", "resetchannels")
    await redis_client.execute_command("ACL", "SETUSER", "mute", *rights)  # type: ignore[no-untyped-call]
    async with LiveStore(redis_url, sidecar_id="mute", user=("mute", "pw")) as mute:
        granted = await mute.locks.acquire(WHERE, lease_ms=60_000)
        waiting = asyncio.ensure_future(live.locks.acquire(WHERE, lease_ms=60_000, wait_ms=60_000))
        await eventually(lambda: live.locks.waiters == 1, why="it does not wait")
        assert await mute.locks.release(WHERE, granted.token)
        again = await waiting
        stuck = asyncio.ensure_future(mute.locks.acquire(WHERE, lease_ms=1_000, wait_ms=60_000))
        await eventually(lambda: mute.locks.waiters == 1, why="it does not wait")
        await live.locks.release(WHERE, again.token)
        await stuck
    await redis_client.execute_command("ACL", "DELUSER", "mute")  # type: ignore[no-untyped-call]


async def test_appends_of_the_holder_alone(live: LiveStore) -> None:
    """The holder appends; who comes without the token waits, and is served in order when the lease is released."""
    granted = await live.locks.acquire(WHERE, lease_ms=60_000)
    waiting = [live.start(WHERE, [("user", str(number), 3)]) for number in range(5)]
    await eventually(lambda: live.changes.standing == 5, why="they do not wait")
    held = await live.append(WHERE, ("user", "hi", 3), token=granted.token)
    assert not any(each.done() for each in waiting)
    assert await live.locks.release(WHERE, granted.token)
    results = await asyncio.gather(*waiting)
    assert [result.messages for result in results] == [2, 3, 4, 5, 6]  # type: ignore[union-attr]
    assert held.messages == 1
    stored = (await live.read(WHERE)).messages
    assert [message.content for message in stored] == ["hi", "0", "1", "2", "3", "4"]
    assert live.changes.standing == 0
    await live.append(WHERE, *talk(1))


async def test_a_lease_outlives_its_memory(live: LiveStore, redis_client: Redis) -> None:
    """A memory that expires under a lease stays its holder's alone: before it is written anew, and afterwards."""
    await live.append(WHERE, *talk(3))
    granted = await live.locks.acquire(WHERE, lease_ms=60_000)
    await redis_client.delete(WHERE.keys.log, WHERE.keys.meta, WHERE.keys.keep)  # as its ttl does
    stranger = live.start(WHERE, [("user", "last", 3)])
    await eventually(lambda: live.changes.standing == 1, why="it does not wait")
    assert await live.delete(WHERE, "1-1", token=granted.token) == 0
    assert await live.clear(WHERE, token=granted.token) == 0
    assert (await live.append(WHERE, ("user", "first", 3), token=granted.token)).messages == 1
    other = live.start(WHERE, [("user", "last too", 3)])
    await eventually(lambda: live.changes.standing == 2, why="it does not wait")
    assert (await live.append(WHERE, ("user", "second", 3), token=granted.token)).messages == 2
    await live.locks.release(WHERE, granted.token)
    await asyncio.gather(stranger, other)
    stored = [message.content for message in (await live.read(WHERE)).messages]
    assert stored == ["first", "second", "last", "last too"]


async def test_a_clear_of_what_is_not_there_waits_too(live: LiveStore) -> None:
    """Also a memory that does not exist yet cannot be cleared while somebody else holds its lease."""
    where = memory(Definition("strict", locking=LockPolicy(wait_ms=0)))
    granted = await live.locks.acquire(where, lease_ms=60_000)
    with pytest.raises(Locked):
        await live.clear(where)
    await live.locks.release(where, granted.token)
    assert await live.clear(where) == 0
