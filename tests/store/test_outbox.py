"""The outbox of all shards: reading it, and taking out the marks of memories that are gone."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.dev.ports import free_port
from sidecar.errors import RedisRefused, Unavailable
from sidecar.memory.keys import SHARDS, KeySpace
from sidecar.store.outbox import Mark, Outbox
from tests.flush.memories import SPACE, LiveMemory, talk

FROM_THE_START = [0] * SHARDS


async def _mark(redis: Redis, space: KeySpace, instance: str, since_ms: int) -> str:
    keys = space.keys("chat", instance)
    await redis.zadd(keys.due, {keys.name: since_ms})
    return keys.name


async def test_an_empty_outbox(redis_client: Redis) -> None:
    """Without marks there is no oldest one, but still the time of Redis."""
    view = await Outbox(redis_client, SPACE).look(FROM_THE_START, 16)
    seconds, _ = await redis_client.time()
    assert (view.depth, view.oldest_ms, any(view.pages)) == (0, None, False)
    assert abs(view.now_ms / 1000 - seconds) < 5


async def test_marks_of_all_shards_are_found(redis_client: Redis) -> None:
    """Every mark is in the page of its shard, and depth and age are those of all shards."""
    names = {await _mark(redis_client, SPACE, f"i{number}", 5_000 + number) for number in range(1_000)}
    view = await Outbox(redis_client, SPACE).look(FROM_THE_START, 100)
    assert (view.depth, view.oldest_ms) == (1_000, 5_000)
    assert {mark.name for page in view.pages for mark in page} == names
    for shard, page in enumerate(view.pages):
        assert all(SPACE.keys(*SPACE.parse(mark.name)).due == SPACE.outbox(shard) for mark in page)
        assert [mark.since_ms for mark in page] == sorted(mark.since_ms for mark in page)


async def test_a_page_is_bounded_and_goes_on_where_told(redis_client: Redis) -> None:
    """At most `count` marks of a shard are read, after those to pass over; depth and age are of all of them."""
    keys = SPACE.keys("chat", "i")
    await redis_client.zadd(keys.due, {f"name-{number}": number for number in range(1, 6)})
    shard = next(number for number in range(SHARDS) if SPACE.outbox(number) == keys.due)
    outbox = Outbox(redis_client, SPACE)
    offsets = list(FROM_THE_START)
    assert (await outbox.look(offsets, 2)).pages[shard] == [Mark("name-1", 1), Mark("name-2", 2)]
    offsets[shard] = 4
    view = await outbox.look(offsets, 2)
    assert view.pages[shard] == [Mark("name-5", 5)]
    assert (view.depth, view.oldest_ms) == (5, 1)


async def test_other_projects_are_not_seen(redis_client: Redis) -> None:
    """Each project has an outbox of its own."""
    await _mark(redis_client, KeySpace(project="other"), "i", 1)
    assert (await Outbox(redis_client, SPACE).look(FROM_THE_START, 16)).depth == 0


async def test_is_marked(redis_client: Redis) -> None:
    """One memory can be asked for by name."""
    outbox = Outbox(redis_client, SPACE)
    assert not await outbox.is_marked("chat", "i")
    await _mark(redis_client, SPACE, "i", 1)
    assert await outbox.is_marked("chat", "i")
    assert not await outbox.is_marked("chat", "other")


async def test_purge_takes_out_the_marks_of_what_is_gone(redis_client: Redis) -> None:
    """Marks of memories that have expired go, in every shard; those of memories that are there stay, and all others."""
    memories = [LiveMemory(redis_client, instance=f"i{number}: %") for number in range(300)]
    for memory in memories:
        await memory.mark()
    there = memories[::30]
    for memory in there:
        await memory.append(talk(1))
    untouched = LiveMemory(redis_client, instance="not asked for")
    await untouched.mark()
    gone = await Outbox(redis_client, SPACE).purge(memory.keys.name for memory in memories)
    assert gone == {memory.keys.name for memory in memories} - {memory.keys.name for memory in there}
    view = await Outbox(redis_client, SPACE).look(FROM_THE_START, 100)
    assert {mark.name for page in view.pages for mark in page} == {m.keys.name for m in [*there, untouched]}


async def test_purge_of_what_has_no_mark(redis_client: Redis) -> None:
    """A mark that somebody else took out first is not reported, and no names are no call."""
    outbox = Outbox(redis_client, SPACE)
    assert await outbox.purge([SPACE.keys("chat", "i").name]) == frozenset()
    assert await outbox.purge([]) == frozenset()
    with pytest.raises(ValueError, match="another project"):
        await outbox.purge(["other:chat:i"])


async def test_an_odd_member_is_shown_not_raised(redis_client: Redis) -> None:
    """A member that is no UTF-8 does not stop the look."""
    await redis_client.zadd(SPACE.outbox(7), {b"\xff": 1})
    view = await Outbox(redis_client, SPACE).look(FROM_THE_START, 16)
    assert view.pages[7] == [Mark("\ufffd", 1)]


async def test_a_redis_that_is_away_is_unavailable() -> None:
    """The border holds here too."""
    async with Redis(port=free_port(), retry=Retry(NoBackoff(), 0)) as client:
        outbox = Outbox(client, SPACE)
        with pytest.raises(Unavailable):
            await outbox.look(FROM_THE_START, 16)
        with pytest.raises(Unavailable):
            await outbox.is_marked("chat", "i")
        with pytest.raises(Unavailable):
            await outbox.purge([SPACE.keys("chat", "i").name])


async def test_a_key_of_another_type_hides_its_own_shard_only(redis_client: Redis) -> None:
    """Where somebody put a string in an outbox's place, that key is named and all other shards are read."""
    names = {await _mark(redis_client, SPACE, f"i{number}", 1) for number in range(500)}
    spoilt = SPACE.keys("chat", "i7").due
    members: Any = await redis_client.zrange(spoilt, 0, -1)
    hidden = {member.decode() for member in members}
    await redis_client.set(spoilt, "not ours")
    view = await Outbox(redis_client, SPACE).look(FROM_THE_START, 100)
    assert view.spoilt == (spoilt,)
    assert {mark.name for page in view.pages for mark in page} == names - hidden
    assert view.depth == len(names - hidden)


async def test_other_refusals_are_told(redis_client: Redis) -> None:
    """A user who may not read outboxes is told so; that is no empty outbox."""
    await redis_client.acl_setuser("blind", enabled=True, nopass=True, commands=["+time", "+ping"], keys=["*"])
    address = redis_client.connection_pool.connection_kwargs
    async with Redis(host=address["host"], port=address["port"], username="blind", password="x") as blind:
        with pytest.raises(RedisRefused, match="NOPERM"):
            await Outbox(blind, SPACE).look(FROM_THE_START, 16)
    await redis_client.acl_deluser("blind")
