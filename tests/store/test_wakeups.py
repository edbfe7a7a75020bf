"""One subscription for all who wait: who is told what, and what it costs."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from sidecar.store import wakeups
from sidecar.store.wakeups import Wakeups
from tests.store.live import LiveStore
from tests.support.waiting import eventually


async def subscribers(redis: Redis, *channels: str) -> list[int]:
    """Return how many connections are subscribed to each channel."""
    return [count for _, count in await redis.pubsub_numsub(*channels)]


async def test_news(live: LiveStore, redis_client: Redis) -> None:
    """Everybody who waits for a channel hears of it, nobody else does, and news between two waits is not missed."""
    async with (
        live.wakeups.watch("a") as first,
        live.wakeups.watch("a") as second,
        live.wakeups.watch("b") as other,
    ):
        assert await first.ready()
        assert await second.ready()
        assert await other.ready()
        assert await redis_client.publish("a", "append") == 1
        async with asyncio.timeout(20):
            await first.woken()
            await second.woken()
        waiting = asyncio.ensure_future(other.woken())
        await redis_client.publish("a", "append")
        async with asyncio.timeout(20):
            await first.woken()
        assert not waiting.done()
        await redis_client.publish("b", "append")
        async with asyncio.timeout(20):
            await waiting


async def test_one_subscription(live: LiveStore, redis_client: Redis) -> None:
    """However many wait there is one connection and one subscription per channel, and none when nobody waits."""
    for _ in range(2):
        watches = [live.wakeups.watch("a" if number % 2 else "b") for number in range(20)]
        for watch in watches:
            await watch.__aenter__()
            assert await watch.ready()
        assert await subscribers(redis_client, "a", "b") == [1, 1]
        assert len(await redis_client.client_list(_type="pubsub")) == 1
        assert live.wakeups.channels == 2
        for watch in watches[:-1]:
            await watch.__aexit__(None, None, None)
        await eventually(lambda: _are(redis_client, [1, 0]), why="a subscription is left")
        await watches[-1].__aexit__(None, None, None)
        await eventually(lambda: _are(redis_client, [0, 0]), why="a subscription is left")
        assert live.wakeups.channels == 0


async def _are(redis: Redis, counts: list[int]) -> bool:
    return await subscribers(redis, "a", "b") == counts


async def test_a_lost_connection(live: LiveStore, redis_client: Redis) -> None:
    """Everybody is woken when the connection is lost, because news may be too, and is told again afterwards."""
    async with live.wakeups.watch("a") as watch:
        assert await watch.ready()
        await redis_client.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(20):
            await watch.woken()
        await eventually(lambda: _is_back(redis_client), why="it is not subscribed again")
        async with asyncio.timeout(20):
            while True:
                await redis_client.publish("a", "append")
                await watch.woken()
                break


async def _is_back(redis: Redis) -> bool:
    return await subscribers(redis, "a") == [1]


async def test_no_right_to_subscribe(redis_url: str, redis_client: Redis) -> None:
    """Without the right nobody will be told; everybody is told that, at once, also whoever comes later."""
    rights = ("on", ">pw", "~*", "+@all", "resetchannels")
    await redis_client.execute_command("ACL", "SETUSER", "deaf", *rights)  # type: ignore[no-untyped-call]
    async with LiveStore(redis_url, user=("deaf", "pw")) as live:
        async with live.wakeups.watch("a") as watch:
            assert not await watch.ready()
        async with live.wakeups.watch("b") as watch:
            assert not await watch.ready()
    await redis_client.execute_command("ACL", "DELUSER", "deaf")  # type: ignore[no-untyped-call]


async def test_too_many_channels(live: LiveStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit one is not told, and knows it; the limit is lowered here, because reaching it takes a minute."""
    monkeypatch.setattr(wakeups, "MAX_CHANNELS", 2)
    async with (
        live.wakeups.watch("a") as first,
        live.wakeups.watch("b") as second,
        live.wakeups.watch("c") as third,
        live.wakeups.watch("a") as again,
    ):
        assert [await watch.ready() for watch in (first, second, third, again)] == [True, True, False, True]


async def test_nobody_runs_it(redis_client: Redis) -> None:
    """Where it is not run, `ready` gives up in time."""
    async with Wakeups(redis_client).watch("a") as watch:
        assert not await watch.ready()
