"""Memories end when their definition says, and nothing of theirs stays on Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import SPACE, as_map, definitions_file, run
from tests.flush.memories import talk
from tests.store.live import MANY, SHORT, LiveStore, memory
from tests.support.children import Children, StartSidecar
from tests.support.waiting import eventually

HOUR_MS = 3_600_000

DEFINITIONS = [
    {"id": "chat", "ttl": "10h"},
    {"id": "phased", "ttl": {"idle": "10h", "after_flush": "5h", "after_clear": "2h"}},
    {"id": "flushed", "ttl": {"after_flush": "5h"}},
    {"id": "brief", "ttl": {"idle": "1s", "after_clear": "1s"}, "idempotency_ttl": "1s"},
]

READS: dict[str, tuple[str, ...]] = {
    "all": (),
    "a budget": ("TOKENS", "1000"),
    "a number": ("COUNT", "1"),
    "a format": ("FORMAT", "OPENAI"),
    "a role": ("ROLE", "tool"),
    "a wait": ("SINCE", "$", "BLOCK", "1"),
}


@pytest.fixture(scope="module")
def sidecar(
    shared_children: Children, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """One sidecar for the whole module; every test empties the Redis behind it."""
    definitions = tmp_path_factory.mktemp("life") / "definitions.yaml"
    definitions.write_text(json.dumps({"definitions": DEFINITIONS}))
    return StartSidecar(shared_children)(redis_url=redis_server.url, definitions=definitions)


@pytest.fixture
async def client(sidecar: SidecarProcess, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the sidecar, on an empty Redis."""
    assert redis_url
    async with redis.asyncio.Redis.from_url(sidecar.url) as connected:
        yield connected


async def life(client: redis.asyncio.Redis, key: str) -> int:
    ttl_ms = as_map(await run(client, "MEMINFO", key))["ttl-ms"]
    assert isinstance(ttl_ms, int)
    return ttl_ms


async def ends(redis_client: redis.asyncio.Redis, definition: str, instance: str) -> set[int]:
    """Return how long the keys of a memory live, in hours, the last one begun; -1 for ever, -2 not at all."""
    keys = SPACE.keys(definition, instance)
    lives = [await redis_client.pttl(key) for key in (keys.log, keys.meta, keys.keep)]
    return {-(-int(left) // HOUR_MS) if left > 0 else int(left) for left in lives}


async def test_reads_extend_the_life_and_peeks_do_not(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis
) -> None:
    """Every way to read gives the memory its whole life again, and with PEEK none does."""
    keys = SPACE.keys("chat", "one")
    await run(client, "MEMAPPEND", "chat:one", "system", "be kind", "user", "hello")
    for options in READS.values():
        for key in (keys.log, keys.meta, keys.keep):
            assert await redis_client.pexpire(key, HOUR_MS)
        await run(client, "MEMREAD", "chat:one", *options, "PEEK")
        assert await ends(redis_client, "chat", "one") == {1}, options
        await run(client, "MEMREAD", "chat:one", *options)
        assert await ends(redis_client, "chat", "one") == {10}, options


async def test_other_lives_after_a_flush_and_a_clear(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis
) -> None:
    """A flush shortens the life until the next use, and a clear leaves what it remembers for as long as it says."""
    keys = SPACE.keys("phased", "one")
    append = ("MEMAPPEND", "phased:one", "system", "be kind", *["user", "hello " * 50] * 20)
    for use in (("MEMREAD", "phased:one"), append):
        await run(client, *append)
        assert await ends(redis_client, "phased", "one") == {10}
        flushed = as_map(await run(client, "MEMFLUSH", "phased:one", "TARGET", "300", "FORCE", "WAIT", "10000"))
        assert (flushed["status"], flushed["removed"] > 0) == ("done", True)
        await run(client, "MEMREAD", "phased:one", "PEEK")
        assert await ends(redis_client, "phased", "one") == {5}
        assert 4 * HOUR_MS < await life(client, "phased:one") <= 5 * HOUR_MS
        await run(client, *use)
        assert await ends(redis_client, "phased", "one") == {10}
    last = as_map(await run(client, "MEMINFO", "phased:one"))["last-id"]
    assert await run(client, "MEMCLEAR", "phased:one") > 0
    assert await redis_client.keys() == [keys.meta.encode()]
    assert HOUR_MS < await redis_client.pttl(keys.meta) <= 2 * HOUR_MS
    await run(client, "MEMREAD", "phased:one")
    assert HOUR_MS < await redis_client.pttl(keys.meta) <= 2 * HOUR_MS
    assert as_map(await run(client, *append))["first-id"] > last
    assert await ends(redis_client, "phased", "one") == {10}


async def test_a_life_after_flushes_only(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """A memory that lives for ever gets an end by a flush where its definition says so, and its next use saves it."""
    append = ("MEMAPPEND", "flushed:one", "system", "be kind", *["user", "hello " * 50] * 20)
    await run(client, *append)
    for use in (("MEMREAD", "flushed:one"), append):
        assert await ends(redis_client, "flushed", "one") == {-1}
        await run(client, "MEMFLUSH", "flushed:one", "TARGET", "300", "FORCE", "WAIT", "10000")
        assert await ends(redis_client, "flushed", "one") == {5}
        await run(client, *use)
        assert await ends(redis_client, "flushed", "one") == {-1}
        await run(client, *append)


async def test_nothing_is_left(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """When its time is over nothing of a memory stays: no totals, no tokens, no leases, no copies."""
    hello = ("user", "hello")
    first = as_map(await run(client, "MEMAPPEND", "brief:one", "IDEMPOTENT", "a", "system", "be kind", *hello))
    await run(client, "MEMPIN", "brief:one", first["last-id"])
    await run(client, "MEMFORK", "brief:one", "brief:copy", "AT", first["first-id"])
    await run(client, "MEMFORK", "brief:nothing", "brief:copy-of-nothing")
    lease = as_map(await run(client, "MEMLOCK", "brief:locked", "1000"))
    await run(client, "MEMAPPEND", "brief:locked", "LOCK", lease["token"], *hello)
    await run(client, "MEMUNLOCK", "brief:locked", lease["token"])
    await run(client, "MEMLOCK", "brief:one", "1000")
    await run(client, "MEMLOCK", "brief:only-locked", "1000")
    await run(client, "MEMWRITE", "brief:written", *hello)
    await run(client, "MEMAPPEND", "brief:cleared", "IDEMPOTENT", "b", *hello)
    await run(client, "MEMCLEAR", "brief:cleared")
    await run(client, "MEMCLEAR", "brief:never-there")
    await run(client, "MEMREAD", "brief:never-there")
    await run(client, "MEMREAD", "brief:awaited", "SINCE", "$", "BLOCK", "20")
    await run(client, "MEMDEL", "brief:never-there", "1-1")
    await run(client, "MEMINFO", "brief:never-there")
    all_keys: Any = await redis_client.keys()
    assert len(all_keys) > 5
    assert not [key for key in all_keys if key.startswith(b"mem:fork:")]
    # A copy's lease on its target is for ten seconds; what it leaves there ends with it. -2: it has ended meanwhile.
    lives = {key: await redis_client.pttl(key) for key in all_keys}
    assert all(left == -2 or 0 <= left <= 10_000 for left in lives.values()), lives
    await run(client, "MEMCLEAR", "brief:copy-of-nothing")

    async def nothing() -> bool:
        return not await redis_client.dbsize()

    await eventually(nothing, why="something is left")
    assert as_map(await run(client, "MEMINFO", "brief:one"))["messages"] == 0
    assert not as_map(await run(client, "MEMAPPEND", "brief:one", "IDEMPOTENT", "a", *hello))["duplicate"]


async def test_marks_of_expired_memories_go(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """A memory that was due when its sidecar died, and expired, is taken out of the outbox by the next sidecar.

    Also where that one does not have the memory's definition.
    """
    async with LiveStore(redis_url) as dead:
        for where in (memory(MANY, "due"), memory(SHORT, "due")):
            await dead.append(where, *talk(11))
            await redis_client.zadd(where.keys.due, {where.keys.name: 1})
            for key in (where.keys.log, where.keys.meta):
                await redis_client.pexpire(key, 1)
    definitions = definitions_file(tmp_path, id=MANY.id)
    sidecar_process(redis_url=redis_url, definitions=definitions, settings={"MEMSIDECAR_SWEEP_INTERVAL_S": "0.2"})

    async def nothing() -> bool:
        return not await redis_client.dbsize()

    await eventually(nothing, why="a mark is still there")
