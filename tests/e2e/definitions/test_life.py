"""How long a memory lives, and how long things are remembered about it."""

from __future__ import annotations

from typing import Any

import redis.asyncio

from tests.e2e.agents import SPACE, run
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk
from tests.support.waiting import eventually

DEFINITIONS = """
definitions:
  - {id: endless}
  - {id: two-hours, ttl: 2h}
  - {id: idle-hours, ttl: {idle: 2h}}
  - {id: moments, ttl: 250ms}
  - {id: remembered, ttl: {after_clear: 1h}}
  - {id: resting, ttl: {idle: 2h, after_flush: 30m}}
  - {id: forgetful, idempotency_ttl: 250ms}
"""

HOUR = 3_600_000


async def lives(talk: Talk, key: str) -> int | None:
    """Return for how many milliseconds a memory lives, None for ever."""
    left: int | None = (await talk.map("MEMINFO", key))["ttl-ms"]
    return left


@shows("ttl")
async def test_ttl(talk: Talk) -> None:
    """A memory is gone this long after its last append; without it none ever is."""
    await talk.say("two-hours:ttl", "hello")
    assert HOUR < (await lives(talk, "two-hours:ttl") or 0) <= 2 * HOUR
    await talk.say("endless:ttl", "hello")
    assert await lives(talk, "endless:ttl") is None
    await talk.say("moments:ttl", "hello")

    async def gone() -> bool:
        return not await talk.texts("moments:ttl", "PEEK")

    await eventually(gone, why="the memory outlives its ttl")


@shows("ttl.idle")
async def test_idle(talk: Talk, behind: redis.asyncio.Redis) -> None:
    """The life begins anew with each append and read, but not with a read that only peeks."""
    key, keys = "idle-hours:ttl", SPACE.keys("idle-hours", "ttl")
    await talk.say(key, "hello")

    async def after(*words: str) -> int:
        for name in (keys.log, keys.meta):
            await behind.pexpire(name, 60_000)
        await talk.ask(*words)
        return await lives(talk, key) or 0

    assert await after("MEMREAD", key, "PEEK") <= 60_000
    assert HOUR < await after("MEMREAD", key) <= 2 * HOUR
    assert HOUR < await after("MEMAPPEND", key, "user", "more") <= 2 * HOUR


@shows("ttl.after_clear")
async def test_after_clear(talk: Talk, behind: redis.asyncio.Redis) -> None:
    """A cleared memory's last id is known this long, so ids grow even if the clock steps back; else nothing is left."""
    ahead = 4_000_000_000_000  # ms: the clock that gave the last id stood in the year 2096
    for name, goes_on in (("remembered", True), ("endless", False)):
        key, keys = f"{name}:clear", SPACE.keys(name, "clear")
        await talk.say(key, "hello")
        await run(behind, "XSETID", keys.log, f"{ahead}-7")
        await talk.ask("MEMCLEAR", key)
        assert (0 < await behind.pttl(keys.meta) <= HOUR) == goes_on
        first = (await talk.say(key, "hello"))["first-id"]
        assert (first == f"{ahead}-8") == goes_on, first


@shows("ttl.after_flush")
async def test_after_flush(talk: Talk) -> None:
    """After a flush a memory lives this long, and as usual again from the next read on."""
    key = "resting:flush"
    await talk.say(key, *("word " * 50 for _ in range(4)))
    await talk.flush(key, "FORCE")
    assert HOUR / 4 < (await lives(talk, key) or 0) <= HOUR / 2
    await talk.texts(key)
    assert HOUR < (await lives(talk, key) or 0) <= 2 * HOUR


@shows("idempotency_ttl")
async def test_idempotency_ttl(talk: Talk) -> None:
    """An append's token is known for this long; after it the same append is stored again."""

    async def append(key: str) -> dict[str, Any]:
        return await talk.map("MEMAPPEND", key, "IDEMPOTENT", "once", "user", "hello")

    first = await append("endless:idempotent")
    assert await append("endless:idempotent") == {**first, "duplicate": 1}
    assert not (await append("forgetful:idempotent"))["duplicate"]

    async def stored_again() -> bool:
        return not (await append("forgetful:idempotent"))["duplicate"]

    await eventually(stored_again, why="the token outlives its time")
    assert len(await talk.texts("forgetful:idempotent")) == 2
