"""How long a memory lives: what extends its life, in one step with what it does, and what its end leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import Locked
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import LockPolicy
from tests.flush.memories import talk
from tests.store.live import SHORT, LiveStore, memory
from tests.support.waiting import eventually

HELLO = ("user", "hello", 3)

HOUR_MS = 3_600_000

IMPATIENT = dataclasses.replace(SHORT, id="impatient", locking=LockPolicy(wait_ms=0))
"""Lives for an hour; nothing waits for a lease."""


async def append(live: LiveStore, where: Memory) -> None:
    await live.append(where, HELLO)


async def read(live: LiveStore, where: Memory) -> None:
    await live.read(where, touch=True)


async def read_within_a_budget(live: LiveStore, where: Memory) -> None:
    await live.read(where, tokens=100, touch=True)


async def write(live: LiveStore, where: Memory) -> None:
    await live.append(where, ("system", "be kind", 5), HELLO, replace=True)


async def peek(live: LiveStore, where: Memory) -> None:
    await live.read(where, tokens=100, touch=False)


async def info(live: LiveStore, where: Memory) -> None:
    await live.info(where)


async def pin(live: LiveStore, where: Memory) -> None:
    newest = (await live.read(where)).messages[-1].id

    def change(done: Callable[[int | BaseException], None]) -> None:
        live.store.pin(where, [newest], done, pin=True)

    assert await live.sent(change) == 1


async def delete(live: LiveStore, where: Memory) -> None:
    newest = (await live.read(where)).messages[-1].id

    def change(done: Callable[[int | BaseException], None]) -> None:
        live.store.delete(where, [newest], done)

    assert await live.sent(change) == 1


Step = Callable[[LiveStore, Memory], Awaitable[None]]


async def lives(redis: Redis, where: Memory) -> list[int]:
    """Return the rest of the life of log, meta and keep, in ms."""
    return [int(await redis.pttl(key)) for key in (where.keys.log, where.keys.meta, where.keys.keep)]


async def shorten(redis: Redis, where: Memory, life_ms: int) -> None:
    """Let all keys of a memory but its lease end together soon."""
    for key in (where.keys.log, where.keys.meta, where.keys.keep):
        await redis.pexpire(key, life_ms)


@pytest.mark.parametrize("step", [append, read, read_within_a_budget, write], ids=lambda step: step.__name__)
async def test_use_extends_the_life(live: LiveStore, redis_client: Redis, step: Step) -> None:
    """Appends, writes and reads give every key of the memory its whole life again."""
    where = memory(SHORT)
    await live.append(where, ("system", "be kind", 5), *talk(3))
    await shorten(redis_client, where, 60_000)
    await step(live, where)
    assert all(HOUR_MS - 60_000 < life <= HOUR_MS for life in await lives(redis_client, where))


@pytest.mark.parametrize("step", [peek, info, pin, delete], ids=lambda step: step.__name__)
async def test_looking_does_not(live: LiveStore, redis_client: Redis, step: Step) -> None:
    """A peek, a question for the state, a pin and a deletion leave the end of each key where it is."""
    where = memory(SHORT)
    await live.append(where, ("system", "be kind", 5), *talk(3))
    await shorten(redis_client, where, 60_000)
    await step(live, where)
    assert all(0 < life <= 60_000 for life in await lives(redis_client, where))


async def sent_meanwhile(redis: Redis, doing: Callable[[], Awaitable[object]]) -> Sequence[tuple[str, str]]:
    """Return the commands that Redis executed meanwhile: for each who asked (`tcp`, `lua`), and its name."""
    seen: list[tuple[str, str]] = []
    async with redis.monitor() as monitor:
        await redis.echo("begin")  # on a connection that is ready, so that its greeting is not seen below
        await doing()
        await redis.echo("end")
        while True:
            command: dict[str, Any] = await monitor.next_command()
            if command["command"] == "ECHO begin":
                seen.clear()
            elif command["command"] == "ECHO end":
                return seen
            else:
                seen.append((command["client_type"], command["command"].split(" ")[0].upper()))


@pytest.mark.parametrize("step", [append, read, read_within_a_budget, write], ids=lambda step: step.__name__)
async def test_the_life_is_extended_in_the_same_step(live: LiveStore, redis_client: Redis, step: Step) -> None:
    """One script stores or reads and sets the end of all keys: one round trip, and no moment in between."""
    where = memory(SHORT)
    await live.append(where, ("system", "be kind", 5), *talk(3))
    await step(live, where)  # Redis knows the script now
    seen = await sent_meanwhile(redis_client, lambda: step(live, where))
    assert [name for client, name in seen if client != "lua"] == ["EVALSHA"]
    assert [name for client, name in seen if client == "lua"].count("PEXPIREAT") == 3


async def test_a_lease_outlives_its_memory(live: LiveStore, redis_client: Redis) -> None:
    """Who holds the lease while the memory expires still keeps all others out, and his own changes are made."""
    where = memory(IMPATIENT)
    granted = await live.locks.acquire(where, lease_ms=60_000)
    await live.append(where, ("system", "be kind", 5), *talk(3), token=granted.token)
    await shorten(redis_client, where, 1)
    await eventually(lambda: _ended(redis_client, where), why="the memory did not expire")
    with pytest.raises(Locked):
        await live.append(where, HELLO)
    with pytest.raises(Locked):
        await live.append(where, HELLO, replace=True)
    with pytest.raises(Locked):
        await live.clear(where)
    assert (await live.append(where, HELLO, token=granted.token)).messages == 1
    with pytest.raises(Locked):
        await live.append(where, HELLO)
    assert await live.locks.release(where, granted.token)
    assert (await live.append(where, HELLO)).messages == 2


async def _ended(redis: Redis, where: Memory) -> bool:
    return not await redis.exists(where.keys.log, where.keys.meta, where.keys.keep)
