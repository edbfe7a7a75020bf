"""Group commit, and what becomes of appends when the connection or Redis itself goes away in the middle."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import count
from random import Random

import pytest
from redis.asyncio import Redis

from sidecar.dev.ports import free_port
from sidecar.errors import Unavailable, Uncertain
from sidecar.memory.addressing import Memory
from sidecar.memory.results import AppendResult, EncodingDiffers
from sidecar.store.batch import MAX_BATCH_CHARACTERS, MAX_BATCH_MESSAGES
from tests.flush.memories import Entry, LiveMemory, talk
from tests.store.live import ENDLESS, SHORT, LiveStore, calls, memory
from tests.store.lossy import LossyProxy
from tests.support.children import StartRedis
from tests.support.waiting import eventually

MEMORIES = [memory(instance=name) for name in ("one", "two", "three")]

WRITERS = 30
"""Concurrent writers of the tests that break something, ten to a memory: batches of several requests."""


async def batches(redis: Redis, where: Memory) -> int:
    """Return how many batches process `a` has stored, if this memory has its latest one."""
    return int((await LiveMemory(redis, where.definition, where.instance).meta())["op:a"].split(":")[0])


# ---- group commit ----


async def test_appends_of_one_turn_leave_together(live: LiveStore, redis_client: Redis) -> None:
    """A thousand appends to one memory in one turn of the loop are two scripts: the first, and all the others."""
    where = memory()
    await live.append(where, *talk(1))
    await redis_client.config_resetstat()
    waiting = [live.start(where, [("user", str(number), 3)]) for number in range(1_000)]
    results = await asyncio.gather(*waiting)
    assert await calls(redis_client, "evalsha") == 2
    stored = await LiveMemory(redis_client, ENDLESS).messages()
    assert [message.content for message in stored[1:]] == [str(number) for number in range(1_000)]
    ids = [result.first_id for result in results if isinstance(result, AppendResult)]
    assert ids == [message.id for message in stored[1:]]


async def test_other_memories_do_not_wait(live: LiveStore, redis_client: Redis) -> None:
    """Each memory has a batch of its own under way."""
    await live.append(memory(instance="first"), *talk(1))
    await redis_client.config_resetstat()
    await asyncio.gather(*(live.start(memory(instance=str(number)), talk(1)) for number in range(50)))
    assert await calls(redis_client, "evalsha") == 50


async def test_a_batch_has_a_most(live: LiveStore, redis_client: Redis) -> None:
    """A batch gathers MAX_BATCH_MESSAGES and no more; the rest leaves with the next ones."""
    where = memory()
    await asyncio.gather(*(live.start(where, talk(1)) for _ in range(1 + 2 * MAX_BATCH_MESSAGES)))
    assert await batches(redis_client, where) == 1 + 2
    await asyncio.gather(*(live.start(where, talk(1)) for _ in range(1 + MAX_BATCH_MESSAGES + 1)))
    assert await batches(redis_client, where) == 3 + 1 + 2
    half = MAX_BATCH_MESSAGES // 2
    await asyncio.gather(*(live.start(where, talk(size)) for size in (1, half, half, 1, MAX_BATCH_MESSAGES)))
    assert await batches(redis_client, where) == 6 + 1 + 1 + 1 + 1


async def test_one_large_request_is_not_split(live: LiveStore, redis_client: Redis) -> None:
    """A request above the bound leaves alone and whole: all or nothing holds for it too."""
    where = memory()
    sizes = [1, 1, 2 * MAX_BATCH_MESSAGES, 1]
    await asyncio.gather(*(live.start(where, talk(size)) for size in sizes))
    assert await batches(redis_client, where) == 4
    assert len(await LiveMemory(redis_client, ENDLESS).ids()) == sum(sizes)


async def test_a_batch_has_a_most_of_text(live: LiveStore, redis_client: Redis) -> None:
    """A batch gathers MAX_BATCH_CHARACTERS, further fields included, and no more."""
    where = memory()
    half = "x" * (MAX_BATCH_CHARACTERS // 2)
    entries: list[Entry] = [
        ("user", "", 1),
        ("user", half, 1),
        ("user", "", 1, half),
        ("user", "", 1),
        ("user", "y", 1),
    ]
    await asyncio.gather(*(live.start(where, [entry]) for entry in entries))
    assert await batches(redis_client, where) == 3  # the first, the two halves with the empty one, and the last
    assert len(await LiveMemory(redis_client, ENDLESS).ids()) == len(entries)


async def test_every_caller_keeps_its_order(live: LiveStore, redis_client: Redis) -> None:
    """Appends lie in the log as they were called, over many batches and whoever called."""
    where = memory()
    called: list[str] = []

    async def write(caller: int) -> None:
        for number in range(40):
            content = f"{caller}-{number}"
            called.append(content)
            sent = live.start(where, [("user", content, 3)])
            if number % 3:
                await sent

    await asyncio.gather(*(write(caller) for caller in range(20)))
    await live.append(where, ("user", "end", 3))
    stored = [message.content for message in await LiveMemory(redis_client, ENDLESS).messages()]
    assert stored == [*called, "end"]


async def test_two_encodings_at_once(live: LiveStore, redis_client: Redis) -> None:
    """Of appends in two encodings to a new memory the first to come decides, and all others are told."""
    where = memory()
    waiting = [live.start(where, talk(1), encoding="words" if number % 2 else "letters") for number in range(40)]
    results = await asyncio.gather(*waiting)
    assert [type(result) for result in results] == [AppendResult, EncodingDiffers] * 20
    assert {result for result in results if isinstance(result, EncodingDiffers)} == {EncodingDiffers("letters")}
    assert len(await LiveMemory(redis_client, ENDLESS).ids()) == 20
    await LiveMemory(redis_client, ENDLESS).assert_totals()


async def test_an_append_from_an_answer_leaves_too(live: LiveStore) -> None:
    """Who appends again as soon as it is answered is served, however often."""
    where = memory()
    left = 200
    finished = asyncio.get_running_loop().create_future()

    def again(result: object) -> None:
        nonlocal left
        assert isinstance(result, AppendResult)
        left -= 1
        if left:
            live.start(where, talk(1)).add_done_callback(lambda future: again(future.result()))
        else:
            finished.set_result(result.messages)

    live.start(where, talk(1)).add_done_callback(lambda future: again(future.result()))
    assert await finished == 200


async def test_scripts_that_redis_has_forgotten_are_sent_again(live: LiveStore, redis_client: Redis) -> None:
    """After SCRIPT FLUSH every call works as before, and stores once."""
    where = memory()
    await live.append(where, *talk(1))
    await redis_client.script_flush()
    results = await asyncio.gather(*(live.start(where, talk(1)) for _ in range(5)))
    assert len(results) == 5
    await redis_client.script_flush()
    assert (await live.read(where)).total_messages == 6
    assert (await live.info(where)).messages == 6
    assert await live.clear(where) == 6


# ---- connections that break ----


class Writers:
    """Clients that append to three memories, one append after the other, until they are told to stop."""

    def __init__(self, live: LiveStore) -> None:
        self.acknowledged: list[tuple[Memory, list[str], AppendResult]] = []
        self._live = live
        self._stopping = False
        self._tasks = [asyncio.create_task(self._write(writer), name="writer") for writer in range(WRITERS)]

    async def _write(self, writer: int) -> None:
        where = MEMORIES[writer % len(MEMORIES)]
        numbers = count()
        while not self._stopping:
            number = next(numbers)
            contents = [f"{writer}-{number}-{at}" for at in range(1 + number % 3)]
            entries = [("system" if number % 7 == 0 else "user", content, 3 + number % 5) for content in contents]
            self.acknowledged.append((where, contents, await self._live.append(where, *entries)))

    async def progress(self, appends: int) -> None:
        """Wait until so many more appends have been acknowledged."""
        target = len(self.acknowledged) + appends
        await eventually(lambda: len(self.acknowledged) >= target or self._failed, limit_s=30)

    @property
    def _failed(self) -> bool:
        return any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """Let every writer have its answer, and end; an append that was refused is raised here."""
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def assert_exactly_once(redis: Redis, writers: Writers) -> None:
    """What was acknowledged is there once, with the ids that were told, nothing else is, and the totals are right."""
    for where in MEMORIES:
        found = LiveMemory(redis, where.definition, where.instance)
        stored = await found.messages()
        assert set(Counter(message.content for message in stored).values()) == {1}
        ids = {message.content: message.id for message in stored}
        mine = [(contents, result) for memory_, contents, result in writers.acknowledged if memory_ is where]
        for contents, result in mine:
            assert (ids[contents[0]], ids[contents[-1]]) == (result.first_id, result.last_id)
        assert sorted(ids) == sorted(content for contents, _ in mine for content in contents)
        await found.assert_totals()
        meta = await found.meta()
        kept = [message for message in stored if message.role == "system"]
        assert int(meta["kept_messages"]) == len(kept) == await redis.zcard(where.keys.keep)
        assert int(meta["kept_tokens"]) == sum(message.tokens for message in kept)
        assert_each_writer_in_order([message.content for message in stored])


def assert_each_writer_in_order(contents: Sequence[str]) -> None:
    numbers: dict[int, list[tuple[int, int]]] = {}
    for content in contents:
        writer, number, at = map(int, content.split("-"))
        numbers.setdefault(writer, []).append((number, at))
    assert all(sent == sorted(sent) for sent in numbers.values())


async def test_connections_killed_in_the_middle(live: LiveStore, redis_client: Redis) -> None:
    """However often Redis ends the connection, every append is acknowledged and is there exactly once."""
    await live.append(MEMORIES[0], ("user", "0-0-0", 1))  # Redis knows the script from now on
    await live.clear(MEMORIES[0])
    await redis_client.config_resetstat()
    writers = Writers(live)
    for _ in range(120):
        await redis_client.client_kill_filter(_type="normal")
        await writers.progress(5)
    await writers.stop()
    assert live.reconnects > 60  # a kill may find the connection not yet replaced
    await assert_exactly_once(redis_client, writers)


async def test_replies_lost_on_the_way(redis_url: str, redis_client: Redis) -> None:
    """An append that was executed and whose reply was lost is not executed again, and has the answer it had."""
    chance = Random(1)
    async with (
        LossyProxy(redis_url, (chance.random() < 0.15 for _ in count())) as proxy,
        LiveStore(proxy.url) as live,
    ):
        writers = Writers(live)
        await eventually(lambda: proxy.lost >= 100, limit_s=60)
        await writers.stop()
        await assert_exactly_once(redis_client, writers)


async def test_redis_killed_in_the_middle(start_redis: StartRedis) -> None:
    """A Redis that writes before it answers, killed and started again under load, has every append exactly once."""
    server = start_redis("--appendfsync", "always", appendonly=True)
    async with LiveStore(server.url) as live, Redis.from_url(server.url) as redis:
        writers = Writers(live)
        for _ in range(4):
            await writers.progress(200)
            server.kill()
            server.spawn()
            await asyncio.to_thread(server.wait_ready)
        await writers.progress(200)
        await writers.stop()
        assert live.reconnects == 4
        await assert_exactly_once(redis, writers)


async def test_a_redis_that_still_loads_is_waited_for(start_redis: StartRedis) -> None:
    """Appends wait for a Redis that reads its data: its LOADING would deny what it executed before it was killed."""
    server = start_redis("--appendfsync", "always", "--key-load-delay", "100", appendonly=True)
    async with Redis.from_url(server.url) as redis, redis.pipeline(transaction=False) as pipeline:
        for number in range(5_000):
            pipeline.set(f"ballast-{number}", number)
        await pipeline.execute()
    async with LiveStore(server.url) as live:
        writers = Writers(live)
        await writers.progress(200)
        server.kill()
        server.spawn()
        await asyncio.to_thread(server.wait_ready)
        await writers.progress(200)
        await writers.stop()
    async with Redis.from_url(server.url) as redis:
        await assert_exactly_once(redis, writers)


async def test_a_clear_is_not_sent_twice(redis_url: str, redis_client: Redis) -> None:
    """A clear whose reply is lost is uncertain: sent again, it would take what was appended since."""
    where = memory()
    async with LossyProxy(redis_url, iter([])) as proxy, LiveStore(proxy.url) as live:
        await live.append(where, *talk(3))
        await live.clear(where)  # Redis knows both scripts from now on
        await live.append(where, *talk(3))
        proxy.plan = iter([True])
        with pytest.raises(Uncertain):
            await live.clear(where)
        assert proxy.lost == 1
        assert (await live.append(where, *talk(2))).messages == 2
        assert len(await LiveMemory(redis_client, ENDLESS).ids()) == 2


async def test_reads_survive_a_broken_connection(redis_url: str) -> None:
    """A read, a question for the state and a sign of life are sent again by themselves."""
    where = memory(SHORT)
    async with LossyProxy(redis_url, iter([])) as proxy, LiveStore(proxy.url) as live:
        await live.append(where, *talk(3))
        for lost in range(1, 10, 3):
            proxy.plan = iter([True])
            assert (await live.read(where, touch=True)).total_messages == 3
            proxy.plan = iter([True])
            assert (await live.info(where)).messages == 3
            proxy.plan = iter([True])
            await live.sent(live.ping)
            assert proxy.lost == live.reconnects == lost + 2


async def test_without_redis_nothing_is_sent(live: LiveStore) -> None:
    """Where no connection comes about, every call ends as unavailable, those that waited behind another one too."""
    where = memory()
    async with LiveStore(f"redis://127.0.0.1:{free_port()}", deadline_s=0.3) as store:
        appends = [store.start(where, talk(1)) for _ in range(3)]
        others = [store.read(where), store.info(where), store.clear(where), store.sent(store.ping)]
        results = await asyncio.gather(*appends, *others, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 7
