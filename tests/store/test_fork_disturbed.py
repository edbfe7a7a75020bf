"""Copies that something happens to between two steps: the target has all of it, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import SourceMoved, StaleLock
from sidecar.memory.requests import ForkRequest
from sidecar.memory.results import AppendResult
from sidecar.store.flush_store import FlushStore
from sidecar.store.fork import GATHERED_MS, MAX_TRIES, PAGE_BYTES, PAGE_MESSAGES, Forks
from tests.flush.memories import SPACE, LiveMemory, talk
from tests.store.between import Before, Between
from tests.store.committing import Flush
from tests.store.live import ENDLESS, LiveStore, memory
from tests.store.lossy import LossyProxy
from tests.support.waiting import eventually

SOURCE, TARGET = memory(instance="source"), memory(instance="target")
PAGES = 4
MESSAGES = (PAGES - 1) * PAGE_MESSAGES + 1


async def nothing(_name: str, _times: int) -> None:
    """Happens between two steps of an undisturbed copy."""


async def fork(live: LiveStore, before: Before = nothing) -> tuple[AppendResult, Between]:
    """Copy, with something before each step."""
    between = Between(live.pipe, before)
    return await Forks(between, live.locks).fork(ForkRequest(SOURCE, TARGET)), between


async def contents(redis: Redis, instance: str) -> list[str]:
    return [message.content for message in await LiveMemory(redis, ENDLESS, instance).messages()]


async def assert_no_copy(redis: Redis) -> None:
    """Fail unless the target is empty, and what was gathered for it ends by itself."""
    assert await redis.exists(TARGET.keys.log, TARGET.keys.keep) == 0
    assert not await redis.hexists(TARGET.keys.meta, "messages")
    await assert_nothing_gathered(redis)


async def assert_nothing_gathered(redis: Redis) -> None:
    """Fail if something is gathered that does not end by itself."""
    for key in await redis.keys("*:fork:*"):
        assert 0 < await redis.pttl(key) <= GATHERED_MS


async def test_a_large_source_takes_many_steps(live: LiveStore, redis_client: Redis) -> None:
    """No step looks at more than a page, by number or by size, and the copy is whole all the same."""
    await live.append(SOURCE, *talk(MESSAGES - 1), ("system", "last", 5))
    result, between = await fork(live)
    assert (result.messages, result.tokens, between.sent["fork_copy"]) == (MESSAGES, 50 * (MESSAGES - 1) + 5, PAGES)
    assert await redis_client.xrange(TARGET.keys.log) == await redis_client.xrange(SOURCE.keys.log)
    await live.clear(TARGET)
    await live.append(SOURCE, *(("user", "x" * (PAGE_BYTES // 2), 9) for _ in range(400)))
    _, between = await fork(live)
    assert between.sent["fork_copy"] >= 400 // 50  # the script looks at the size after each 50
    assert await redis_client.xlen(TARGET.keys.log) == MESSAGES + 400


async def test_a_source_that_grows(live: LiveStore, redis_client: Redis) -> None:
    """What is appended to the source after the first step is not part of the copy, which is made in one go."""
    await live.append(SOURCE, *talk(MESSAGES))

    async def grow(_name: str, times: int) -> None:
        if times > 1:
            await live.append(SOURCE, ("user", "later", 3))

    result, between = await fork(live, grow)
    assert (result.messages, between.sent["fork_copy"]) == (MESSAGES, PAGES)
    assert await contents(redis_client, "target") == (await contents(redis_client, "source"))[:MESSAGES]
    await LiveMemory(redis_client, ENDLESS, "target").assert_totals()


async def delete(live: LiveStore, _redis: Redis) -> None:
    await live.delete(SOURCE, (await live.info(SOURCE)).first_id or "")


async def write(live: LiveStore, _redis: Redis) -> None:
    await live.append(SOURCE, *talk(3, content="new"), replace=True)


async def clear_and_append(live: LiveStore, _redis: Redis) -> None:
    await live.clear(SOURCE)
    await live.append(SOURCE, *talk(3, content="new"))


async def flush(live: LiveStore, redis: Redis) -> None:
    found = LiveMemory(redis, ENDLESS, "source")
    run = await Flush(FlushStore(redis, SPACE), found).begin()
    await run.stage(set((await found.ids())[1:10]), summarise=True)
    await run.summary("what was said", 7)
    assert (await run.commit()).code == "committed"


Loss = Callable[[LiveStore, Redis], Awaitable[None]]


@pytest.mark.parametrize("step", [("fork_copy", 2), ("fork_copy", PAGES), ("fork_commit", 1)], ids=str)
@pytest.mark.parametrize("loss", [delete, write, clear_and_append, flush])
async def test_a_source_that_loses_messages(
    live: LiveStore, redis_client: Redis, loss: Loss, step: tuple[str, int]
) -> None:
    """When messages of the source go meanwhile, by whatever hand, the copy is of the source as it is afterwards."""
    await live.append(SOURCE, ("system", "be kind", 10), *talk(MESSAGES - 1))
    lost: list[tuple[str, int]] = []

    async def lose(name: str, times: int) -> None:
        if (name, times) == step and not lost:
            lost.append(step)
            await loss(live, redis_client)

    result, _ = await fork(live, lose)
    assert lost
    source, target = await live.info(SOURCE), await live.info(TARGET)
    assert await redis_client.xrange(TARGET.keys.log) == await redis_client.xrange(SOURCE.keys.log)
    assert await live.read(TARGET) == await live.read(SOURCE)
    assert (target.messages, target.tokens, target.pinned_tokens) == (
        source.messages,
        source.tokens,
        source.pinned_tokens,
    )
    assert result.messages == source.messages
    await LiveMemory(redis_client, ENDLESS, "target").assert_totals()
    await assert_nothing_gathered(redis_client)


async def test_a_source_that_keeps_losing(live: LiveStore, redis_client: Redis) -> None:
    """After MAX_TRIES the copy is given up: an error, an empty target, and a free lease."""
    await live.append(SOURCE, *talk(2 * MAX_TRIES))

    async def lose(name: str, _times: int) -> None:
        if name == "fork_commit":
            await delete(live, redis_client)

    with pytest.raises(SourceMoved):
        await fork(live, lose)
    assert (await live.info(SOURCE)).messages == MAX_TRIES
    await assert_no_copy(redis_client)
    assert await live.locks.held(TARGET) is None
    assert (await fork(live))[0].messages == MAX_TRIES


@pytest.mark.parametrize("step", [("fork_copy", 1), ("fork_copy", 3), ("fork_commit", 1)], ids=str)
async def test_a_process_that_dies(live: LiveStore, redis_client: Redis, step: tuple[str, int]) -> None:
    """One that goes away between two steps leaves an empty target, and what it gathered ends; the next one copies."""
    await live.append(SOURCE, ("system", "be kind", 10), *talk(MESSAGES - 1))
    reached = asyncio.Event()

    async def hang(name: str, times: int) -> None:
        if (name, times) == step:
            reached.set()
            await asyncio.Event().wait()

    copying = asyncio.ensure_future(fork(live, hang))
    async with asyncio.timeout(20):
        await reached.wait()
    await assert_no_copy(redis_client)
    copying.cancel()
    await asyncio.gather(copying, return_exceptions=True)
    await assert_no_copy(redis_client)
    assert (await fork(live))[0].messages == MESSAGES


@pytest.mark.parametrize("part", ["log", "meta", "keep"])
async def test_a_part_that_is_evicted(live: LiveStore, redis_client: Redis, part: str) -> None:
    """When Redis drops a part of what was gathered, the copy begins anew instead of being half."""
    await live.append(SOURCE, ("system", "be kind", 10), *talk(5))

    async def evict(name: str, times: int) -> None:
        if (name, times) == ("fork_commit", 1):
            (key,) = await redis_client.keys(f"*:fork:*:{part}")
            await redis_client.delete(key)

    result, between = await fork(live, evict)
    assert (result.messages, between.sent["fork_commit"]) == (6, 2)
    assert await redis_client.zcard(TARGET.keys.keep) == 1
    await LiveMemory(redis_client, ENDLESS, "target").assert_totals()


async def test_a_lease_that_is_lost(live: LiveStore, redis_client: Redis) -> None:
    """A copy whose lease has run out, and is another one's now, is refused, and the target stays empty."""
    await live.append(SOURCE, *talk(5))

    async def steal(name: str, _times: int) -> None:
        if name == "fork_commit":
            await redis_client.set(TARGET.keys.lock, "another", px=60_000)

    with pytest.raises(StaleLock):
        await fork(live, steal)
    await assert_no_copy(redis_client)
    assert await redis_client.get(TARGET.keys.lock) == b"another"


@pytest.mark.parametrize("name", ["fork_copy", "fork_commit"])
async def test_replies_that_are_lost(redis_url: str, redis_client: Redis, name: str) -> None:
    """A step whose reply is lost is sent again, and the copy is made once and told as it was."""
    async with LossyProxy(redis_url, iter([])) as proxy, LiveStore(proxy.url) as live:
        await live.append(SOURCE, ("system", "be kind", 10), *talk(MESSAGES - 1))
        await fork(live)  # Redis knows the scripts from now on
        await live.clear(TARGET)

        async def lose(step: str, _times: int) -> None:
            if step == name:
                proxy.plan = iter([True])

        result, _ = await fork(live, lose)
        await eventually(lambda: proxy.lost >= 1)
    ids: Any = await LiveMemory(redis_client, ENDLESS, "source").ids()
    assert result == AppendResult(ids[0], ids[-1], MESSAGES, MESSAGES, 10 + 50 * (MESSAGES - 1), "none")
    assert await redis_client.xrange(TARGET.keys.log) == await redis_client.xrange(SOURCE.keys.log)
    await LiveMemory(redis_client, ENDLESS, "target").assert_totals()
