"""redis-py, asyncio, works through the sidecar as on Redis, in both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio

from sidecar.dev.servers import SidecarProcess
from tests.support.waiting import eventually

Client = Any
"""A client of redis-py. Its types join both protocols, text and bytes in every reply, and leave some calls out."""

WAIT_S = 10.0
"""Limit for what another task does; it takes milliseconds."""


@pytest.fixture(params=[2, 3])
async def client(request: pytest.FixtureRequest, front: SidecarProcess) -> AsyncIterator[Client]:
    """redis-py on the sidecar's address, once in RESP2 and once in RESP3."""
    async with redis.asyncio.Redis(port=front.port, protocol=request.param, decode_responses=True) as connected:
        yield connected


async def test_many_tasks_share_a_pool(client: Client) -> None:
    """A hundred tasks that use one client at once get their own replies."""

    async def own(number: int) -> list[str]:
        return [await client.echo(f"{number}.{turn}") for turn in range(10)]

    answers = await asyncio.gather(*(own(number) for number in range(100)))
    assert answers == [[f"{number}.{turn}" for turn in range(10)] for number in range(100)]


async def test_a_pipeline_keeps_its_order(client: Client) -> None:
    """Commands of Redis and of the sidecar that are written at once are answered in order, errors in their place."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.set("text", "x").incr("text").execute_command("MEMCOUNT", "hello", "hello world").get("text")
        stored, refused, counted, value = await pipe.execute(raise_on_error=False)
    assert (stored, counted, value) == (True, [1, 2], "x")
    assert isinstance(refused, redis.ResponseError)


async def test_a_watched_key_aborts_the_transaction(client: Client, behind: redis.Redis) -> None:
    """WATCH on a connection of its own sees another client's write, and the retry then succeeds."""
    async with client.pipeline() as pipe:
        await pipe.watch("a")
        behind.set("a", "changed")
        pipe.multi()
        pipe.set("a", "lost")
        with pytest.raises(redis.WatchError):
            await pipe.execute()
        assert await pipe.set("a", "kept").get("a").execute() == [True, "kept"]


async def test_a_transaction_refuses_memory_commands_and_lives_on(client: Client) -> None:
    """A MEM command inside MULTI fails the transaction as a wrong command of Redis does; the next one works."""
    async with client.pipeline() as pipe:
        pipe.set("a", "lost").execute_command("MEMCOUNT", "hello")
        with pytest.raises(redis.ResponseError, match="MULTI"):
            await pipe.execute()
        assert await pipe.exists("a").execute() == [0]


async def test_messages_are_heard_in_the_order_of_their_publishing(client: Client) -> None:
    """A subscriber of channels and patterns hears 500 messages in order, and nothing after it has unsubscribed."""
    async with client.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe("news")
        await subscription.psubscribe("wea*")
        await eventually(lambda: _subscribed(client))
        async with client.pipeline(transaction=False) as pipe:
            for number in range(500):
                pipe.publish("weather" if number % 2 else "news", str(number))
            assert await pipe.execute() == [1] * 500
        heard: list[str] = []
        async with asyncio.timeout(WAIT_S):
            while len(heard) < 500:
                message = await subscription.get_message(timeout=WAIT_S)
                heard += [message["data"]] if message else []
        assert heard == [str(number) for number in range(500)]
        await subscription.unsubscribe()
        await subscription.punsubscribe()
        await eventually(lambda: _unsubscribed(client))


async def _subscribed(client: Client) -> bool:
    return [(await client.pubsub_numsub("news"))[0][1], await client.pubsub_numpat()] == [1, 1]


async def _unsubscribed(client: Client) -> bool:
    return [(await client.pubsub_numsub("news"))[0][1], await client.pubsub_numpat()] == [0, 0]


async def test_a_cancelled_wait_leaves_the_next_element_to_others(
    client: Client, front: SidecarProcess, behind: redis.Redis
) -> None:
    """Whoever gives up a BLPOP and disconnects takes no element; the next waiter gets it."""
    abandoned: Client = redis.asyncio.Redis.from_url(front.url)
    waiting = asyncio.create_task(abandoned.blpop(["jobs"], timeout=0))
    await eventually(lambda: _blocked(behind) == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await abandoned.aclose()
    await eventually(lambda: _blocked(behind) == 0, why="the abandoned BLPOP still waits")
    next_one = asyncio.create_task(client.blpop(["jobs"], timeout=0))
    await eventually(lambda: _blocked(behind) == 1)
    assert behind.rpush("jobs", "one") == 1
    assert list(await asyncio.wait_for(next_one, WAIT_S)) == ["jobs", "one"]


def _blocked(behind: redis.Redis) -> int:
    return sum(found["cmd"] == "blpop" for found in behind.client_list())


async def test_a_lock_excludes_other_tasks(client: Client) -> None:
    """redis-py's Lock lets one task in at a time."""
    inside = 0
    seen: list[int] = []

    async def enter() -> None:
        nonlocal inside
        async with client.lock("guard", timeout=WAIT_S, sleep=0.005, blocking_timeout=WAIT_S):
            inside += 1
            await client.ping()  # lets another task in, if the lock does
            seen.append(inside)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(10)))
    assert seen == [1] * 10


async def test_a_script_is_sent_once_and_called_by_its_hash(client: Client, behind: redis.Redis) -> None:
    """`register_script` loads after NOSCRIPT, which reaches the client unchanged, and calls by hash from then on."""
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert [await script(keys=["n"], args=[by]) for by in (2, 3)] == [2, 5]
    behind.script_flush()
    assert await script(keys=["n"], args=[5]) == 10


async def test_the_reader_of_a_group_waits_and_acknowledges(client: Client, behind: redis.Redis) -> None:
    """XREADGROUP BLOCK hands a new entry to one consumer, and XACK empties its list of pending ones."""
    await client.xgroup_create("stream", "group", id="$", mkstream=True)
    waiting = asyncio.create_task(client.xreadgroup("group", "me", {"stream": ">"}, count=1, block=0))
    await eventually(lambda: any(found["cmd"] == "xreadgroup" for found in behind.client_list()))
    entry: Any = behind.xadd("stream", {"field": "value"})
    assert entry in str(await asyncio.wait_for(waiting, WAIT_S))
    assert (await client.xpending("stream", "group"))["pending"] == 1
    assert await client.xack("stream", "group", entry) == 1
    assert (await client.xpending("stream", "group"))["pending"] == 0
