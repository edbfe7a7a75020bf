"""The walk over the memories of a project, on a real Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused, SyntaxProblem
from sidecar.memory.keys import SHARDS, KeySpace
from sidecar.memory.requests import ListRequest
from sidecar.store.walk import SHARDS_PER_STEP, Walk
from tests.flush.memories import SPACE
from tests.store.live import LiveStore


async def make(redis: Redis, *names: str, space: KeySpace = SPACE, due: bool = False) -> None:
    """Put memories on Redis as a walk sees them: a log, or a mark in the outbox."""
    async with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            definition, _, instance = name.partition(":")
            keys = space.keys(definition, instance)
            if due:
                pipeline.zadd(keys.due, {keys.name: 1})
            else:
                pipeline.xadd(keys.log, {"r": "user"})
        await pipeline.execute()


async def walk(
    live: LiveStore, *, space: KeySpace = SPACE, pattern: bytes | None = None, count: int = 10, due: bool = False
) -> tuple[list[str], int]:
    """Walk to the end; return all names, and the number of steps."""
    names: list[str] = []
    cursor, steps = "0", 0
    while steps == 0 or cursor != "0":
        cursor, found = await Walk(live.pipe, space).page(ListRequest(cursor, pattern, count, due))
        names += found
        steps += 1
    return names, steps


NAMES = [f"chat:{number}" for number in range(300)]


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize("count", [1, 10, 10_000])
async def test_all_are_found(live: LiveStore, redis_client: Redis, due: bool, count: int) -> None:
    """Every memory is found, each once while nothing changes, whatever the size of a step."""
    await make(redis_client, *NAMES, due=due)
    names, steps = await walk(live, count=count, due=due)
    assert sorted(names) == sorted(NAMES)
    assert steps >= (SHARDS // SHARDS_PER_STEP if due else 1)
    if count == 1:
        assert steps > 100


@pytest.mark.parametrize("due", [False, True])
async def test_nothing_to_find(live: LiveStore, redis_client: Redis, due: bool) -> None:
    """A walk over nothing ends."""
    assert (await walk(live, due=due))[0] == []
    await make(redis_client, *NAMES[:5], due=not due)
    assert (await walk(live, due=due))[0] == []


@pytest.mark.parametrize("due", [False, True])
async def test_only_this_project_s(live: LiveStore, redis_client: Redis, due: bool) -> None:
    """Memories of other projects and prefixes, and keys of other kinds, are not part of it."""
    for space in (KeySpace("mem", "other"), KeySpace("mem2"), KeySpace("m?m", "d*")):
        await make(redis_client, "chat:theirs", space=space, due=due)
    await make(redis_client, "chat:mine", due=due)
    await redis_client.set("mem:log:{00}:default:chat:astring", "x")
    await redis_client.xadd("mem:log:{00}:default:nocolon", {"r": "user"})
    await redis_client.zadd(SPACE.outbox(0), {"default": 1, "other:chat:theirs": 1, "default:a:b:c": 1})
    assert (await walk(live, due=due))[0] == ["chat:mine"]
    assert (await walk(live, space=KeySpace("m?m", "d*"), due=due))[0] == ["chat:theirs"]


@pytest.mark.parametrize("due", [False, True])
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (b"*", ["a:b:c", "chat:%7B", "chat:ann", "chat:\xe9"]),
        (b"chat:*", ["chat:%7B", "chat:ann", "chat:\xe9"]),
        (b"CHAT:*", []),
        (b"chat:[a-c]*", ["chat:ann"]),
        (b"a:b:c", ["a:b:c"]),
        ("chat:\xe9".encode(), ["chat:\xe9"]),
        (b"chat:%7B", ["chat:%7B"]),
    ],
)
async def test_patterns(live: LiveStore, redis_client: Redis, pattern: bytes, found: list[str], due: bool) -> None:
    """MATCH is Redis's glob over the names that clients write, not over the keys on Redis."""
    await make(redis_client, "a:b:c", "chat:ann", "chat:\xe9", "chat:%7B", due=due)
    assert sorted((await walk(live, pattern=pattern, due=due))[0]) == found


@pytest.mark.parametrize("due", [False, True])
async def test_what_is_there_all_the_time_is_found(live: LiveStore, redis_client: Redis, due: bool) -> None:
    """Memories that come and go during a walk do not hide the others."""
    await make(redis_client, *NAMES, due=due)
    seen: set[str] = set()
    cursor, steps = "0", 0
    while steps == 0 or cursor != "0":
        cursor, found = await Walk(live.pipe, SPACE).page(ListRequest(cursor, None, 20, due))
        seen |= set(found)
        await make(redis_client, *(f"new:{steps}-{number}" for number in range(50)), due=due)
        if steps == 3 and not due:
            gone = [SPACE.keys("chat", str(number)).log for number in range(100)]
            await redis_client.delete(*gone)
        steps += 1
    assert seen >= set(NAMES[100:])


@pytest.mark.parametrize(("cursor", "due"), [(2**64, False), (SHARDS * 2**64, True)])
async def test_a_cursor_that_redis_takes_for_none(live: LiveStore, cursor: int, due: bool) -> None:
    """A number that no step can have given is a syntax error that says what the cursor is."""
    with pytest.raises(SyntaxProblem, match="the cursor is 0 at first"):
        await Walk(live.pipe, SPACE).page(ListRequest(str(cursor), None, 10, due))


async def test_an_outbox_of_another_type(live: LiveStore, redis_client: Redis) -> None:
    """Redis's error is passed on."""
    await redis_client.set(SPACE.outbox(3), "mine")
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await walk(live, due=True)
