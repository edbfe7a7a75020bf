"""Clients wait for the next message of a memory: all of a sidecar over one subscription, which ends with the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import SPACE, as_map, ghost, patient, run, vanish
from tests.store.live import calls
from tests.support.children import StartSidecar
from tests.support.waiting import eventually

Sidecars = Sequence[SidecarProcess]

READERS = 100

LONG_MS = "60000"
"""A wait that does not end by itself while a test runs."""


def channel(instance: str) -> str:
    """Return the channel on which Redis tells of one memory."""
    return SPACE.keys("turn", instance).wake


async def become(client: redis.asyncio.Redis, listening: int, counts: dict[str, int]) -> None:
    """Wait until Redis has so many connections that listen, and so many of them to each memory."""

    async def are() -> bool:
        each = await client.pubsub_numsub(*map(channel, counts))
        return (len(await client.client_list(_type="pubsub")), [number for _, number in each]) == (
            listening,
            list(counts.values()),
        )

    await eventually(are, why=f"there are not {listening} subscribers")


@asynccontextmanager
async def readers(
    sidecars: Sidecars, redis_client: redis.asyncio.Redis, *instances: str, each: int
) -> AsyncIterator[dict[str, list[asyncio.Future[Any]]]]:
    """Give, for each memory, the answers of readers, spread over the sidecars, that wait for its next message."""
    for sidecar in sidecars:  # Redis knows the script from now on, so that its calls can be counted
        async with patient(sidecar.url) as client:
            await run(client, "MEMREAD", "turn:nothing")
    before = await calls(redis_client, "evalsha")
    async with AsyncExitStack() as stack:
        reading: dict[str, list[asyncio.Future[Any]]] = {}
        for instance in instances:
            clients = [
                await stack.enter_async_context(patient(sidecars[number % len(sidecars)].url)) for number in range(each)
            ]
            words = ("MEMREAD", f"turn:{instance}", "SINCE", "$", "BLOCK", LONG_MS)
            reading[instance] = [asyncio.ensure_future(run(client, *words)) for client in clients]

        async def all_wait() -> bool:
            # Each has looked what the newest one is, and again once it was sure to be told.
            return await calls(redis_client, "evalsha") >= before + 2 * each * len(instances)

        await eventually(all_wait, limit_s=30, why="not everybody waits")
        yield reading
        await asyncio.gather(*(reader for some in reading.values() for reader in some))


def contents(reply: Any) -> list[str]:
    """Return the contents of the messages that a read returned."""
    return [as_map(message)["content"] for message in as_map(reply)["messages"]]


async def test_a_hundred_readers_of_one_memory(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """They are one subscribing connection on Redis; each gets what is new and nothing older, and then none is left."""
    async with patient(sidecars[0].url) as writer:
        await run(writer, "MEMAPPEND", "turn:shared", "user", "before")
        async with readers(sidecars[:1], redis_client, "shared", each=READERS) as waiting:
            await become(redis_client, 1, {"shared": 1})
            assert not any(reader.done() for reader in waiting["shared"])
            await run(writer, "MEMAPPEND", "turn:shared", "user", "one", "assistant", "two")
            replies = await asyncio.gather(*waiting["shared"])
    assert [contents(reply) for reply in replies] == [["one", "two"]] * READERS
    await become(redis_client, 0, {"shared": 0})


async def test_readers_of_many_memories(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """They are one connection too, with a channel for each memory; a message wakes those who wait for its memory."""
    names = [f"m{number}" for number in range(10)]
    async with (
        patient(sidecars[1].url) as writer,
        readers(sidecars[:1], redis_client, *names, each=READERS // 10) as waiting,
    ):
        await become(redis_client, 1, dict.fromkeys(names, 1))
        for told, name in enumerate(names):
            await run(writer, "MEMAPPEND", f"turn:{name}", "user", f"for {name}")
            replies = await asyncio.gather(*waiting[name])
            assert [contents(reply) for reply in replies] == [[f"for {name}"]] * (READERS // 10)
            assert not any(reader.done() for later in names[told + 1 :] for reader in waiting[later])
    await become(redis_client, 0, dict.fromkeys(names, 0))


async def test_readers_at_two_sidecars(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """Each sidecar has one subscription, and a message that comes through either wakes the readers of both."""
    for writes in sidecars:
        async with patient(writes.url) as writer, readers(sidecars, redis_client, "shared", each=20) as waiting:
            await become(redis_client, 2, {"shared": 2})
            await run(writer, "MEMAPPEND", "turn:shared", "user", f"through {writes.port}")
            replies = await asyncio.gather(*waiting["shared"])
        assert [contents(reply) for reply in replies] == [[f"through {writes.port}"]] * 20
        await become(redis_client, 0, {"shared": 0})


async def test_nothing_comes(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """After BLOCK the read is empty, whether or not there is a memory, and of one that never was nothing is left."""
    async with patient(sidecars[0].url) as client:
        for instance, total in (("shared", 1), ("never", 0)):
            if total:
                await run(client, "MEMAPPEND", f"turn:{instance}", "user", "before")
            reply = as_map(await run(client, "MEMREAD", f"turn:{instance}", "SINCE", "$", "BLOCK", "50"))
            assert (reply["messages"], reply["summary"], reply["total-messages"]) == ([], None, total)

        async def no_trace() -> bool:
            return not await redis_client.exists(SPACE.keys("turn", "never").meta)

        await eventually(no_trace, why="a wait for a memory that never was has left something")
    await become(redis_client, 0, {"shared": 0, "never": 0})


async def test_who_has_gone_leaves_no_wait(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """The subscription stays as long as one reader does, who gets his message; it goes when the last one vanishes."""
    wait = ("MEMREAD", "turn:shared", "SINCE", "$", "BLOCK", LONG_MS)
    async with patient(sidecars[0].url) as writer:
        async with readers(sidecars[:1], redis_client, "shared", each=1) as waiting:
            gone = [await ghost(sidecars[0], *wait) for _ in range(10)]
            for number, each in enumerate(gone):
                vanish(each, reset=number % 2 == 0)
            await become(redis_client, 1, {"shared": 1})
            await run(writer, "MEMAPPEND", "turn:shared", "user", "hello")
            assert contents(await waiting["shared"][0]) == ["hello"]
        await become(redis_client, 0, {"shared": 0})
        last = await ghost(sidecars[0], *wait)
        await become(redis_client, 1, {"shared": 1})
        vanish(last, reset=False)
        await become(redis_client, 0, {"shared": 0})


async def test_a_subscription_that_is_lost(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """Redis ends the subscribing connection under those who wait: they get their message all the same."""
    async with (
        patient(sidecars[0].url) as writer,
        readers(sidecars[:1], redis_client, "shared", each=20) as waiting,
    ):
        await redis_client.client_kill_filter(_type="pubsub")
        await run(writer, "MEMAPPEND", "turn:shared", "user", "hello")
        replies = await asyncio.gather(*waiting["shared"])
    assert [contents(reply) for reply in replies] == [["hello"]] * 20


@pytest.mark.parametrize(
    "commands",
    [
        [("MEMWRITE", "turn:shared", "user", "new")],
        [("MEMCLEAR", "turn:shared"), ("MEMAPPEND", "turn:shared", "user", "new")],
        [("MEMCLEAR", "turn:shared"), ("MEMFORK", "turn:source", "turn:shared")],
    ],
    ids=["written", "cleared", "forked"],
)
async def test_a_memory_that_begins_anew(
    sidecars: Sidecars, redis_client: redis.asyncio.Redis, commands: list[tuple[str, ...]]
) -> None:
    """Whoever waits is told of the first message of what comes after a MEMWRITE, a MEMCLEAR or a MEMFORK too."""
    async with patient(sidecars[0].url) as writer, redis_client.pubsub() as news:
        await run(writer, "MEMAPPEND", "turn:shared", "user", "old")
        await news.subscribe(channel("shared"))
        async with readers(sidecars[:1], redis_client, "shared", each=2) as waiting:
            await run(writer, "MEMAPPEND", "turn:source", "user", "new")  # of a fork the ids are those of the source
            for command in commands:
                await run(writer, *command)

            async def told() -> bool:
                message = await news.get_message(ignore_subscribe_messages=True)
                return message is not None and message["data"] == b"append"

            await eventually(told, limit_s=3, why="nobody is told")
            replies = await asyncio.gather(*waiting["shared"])
    assert [contents(reply) for reply in replies] == [["new"]] * 2


@pytest.fixture
async def mute(redis_client: redis.asyncio.Redis) -> AsyncIterator[str]:
    """A user without the right to any channel."""
    rights = ("on", ">secret", "~*", "+@all", "resetchannels")
    await run(redis_client, "ACL", "SETUSER", "mute", *rights)
    yield "mute:secret"
    await run(redis_client, "ACL", "DELUSER", "mute")


async def test_a_writer_without_the_right_to_tell(
    sidecars: Sidecars, redis_client: redis.asyncio.Redis, mute: str
) -> None:
    """Readers get the message of a user who may not publish too: they look by themselves, now and then."""
    async with (
        patient(sidecars[0].url.replace("//", f"//{mute}@")) as writer,
        readers(sidecars[:1], redis_client, "shared", each=3) as waiting,
    ):
        await run(writer, "MEMAPPEND", "turn:shared", "user", "hello")
        replies = await asyncio.gather(*waiting["shared"])
    assert [contents(reply) for reply in replies] == [["hello"]] * 3


async def test_a_sidecar_without_the_right_to_listen(
    redis_url: str, redis_client: redis.asyncio.Redis, mute: str, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Where the sidecar's own user may not subscribe, those who wait look by themselves, and nobody subscribes."""
    sidecar = sidecar_process(redis_url=redis_url.replace("//", f"//{mute}@"))
    async with patient(sidecar.url) as writer, patient(sidecar.url) as reader:
        waiting = asyncio.ensure_future(run(reader, "MEMREAD", "turn:shared", "SINCE", "0-0", "BLOCK", LONG_MS))
        await eventually(lambda: sidecar.has_printed("wakeups.refused"), why="it does not find out")
        await run(writer, "MEMAPPEND", "turn:shared", "user", "hello")
        assert contents(await waiting) == ["hello"]
    await become(redis_client, 0, {"shared": 0})
