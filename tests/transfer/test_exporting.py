"""Exports from a real Redis: what is in one, and what becomes of it when memories change meanwhile."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from sidecar.memory.keys import KeySpace, MemoryKeys
from sidecar.store.outgoing import PAGE_MESSAGES, Entry, Outgoing
from sidecar.transfer.exporting import MAX_TRIES, Export
from sidecar.transfer.problems import MemoryProblem
from sidecar.transfer.progress import Silent
from tests.docs import DOCS
from tests.transfer.moving import DEFINITIONS, SPACE, begun, bring, content, ended, export, lines, memory, talk


async def test_patterns_choose(redis_client: Redis) -> None:
    """A glob over definition:instance chooses, several add up, and the order is that of the names."""
    await bring(redis_client, talk("chat:2", 1) + talk("chat:1", 1) + talk("default:a:b", 2))
    for patterns, keys in (
        ([b"*"], ["chat:1", "chat:2", "default:a:b"]),
        ([b"chat:*"], ["chat:1", "chat:2"]),
        ([b"chat:2", b"default:a:?"], ["chat:2", "default:a:b"]),
        ([b"CHAT:*"], []),
    ):
        records, done = await export(redis_client, *patterns)
        assert records[0] == {"type": "export", "version": 1, "project": "default"}
        assert [record["key"] for record in records if record["type"] == "memory"] == keys
        assert done.memories == len(keys)


async def test_other_projects_are_not_part_of_it(redis_client: Redis) -> None:
    """An export has the memories of one project, also where the name of another one is like a pattern of it."""
    for project in ("default", "defaul?"):
        keys = KeySpace("mem", project).keys("chat", "1")
        await redis_client.xadd(keys.log, {"r": "user", "c": "hi", "n": "1"})
    assert await Outgoing(redis_client, KeySpace("mem", "defaul?")).names([b"*"]) == [("chat", "1")]
    await redis_client.xadd("mem:log:{00}:defaul?:odd", {"r": "user"})  # somebody's own key
    assert await Outgoing(redis_client, KeySpace("mem", "defaul?")).names([b"*"]) == [("chat", "1")]


async def test_many_pages(redis_client: Redis) -> None:
    """Each message is there once, in order, with its count."""
    await bring(redis_client, talk("chat:1", 2 * PAGE_MESSAGES + 1))
    records, done = await export(redis_client)
    written = [record for record in records if record["type"] == "message"]
    assert [record["message"]["content"] for record in written] == [
        f"word {n}" for n in range(1, 2 * PAGE_MESSAGES + 2)
    ]
    assert records[-1] == ended(2 * PAGE_MESSAGES + 1)
    _, _, facts = await content(redis_client, "chat:1")
    assert done.tokens == sum(record["tokens"] for record in written) == int(facts["tokens"])


async def test_a_summary_alone_is_a_memory(redis_client: Redis) -> None:
    """A memory of which a flush has left nothing but the summary goes out and comes in."""
    await bring(redis_client, lines(begun("chat:1", summary={"text": "They met."}), ended(0)))
    records, done = await export(redis_client)
    assert [record["type"] for record in records] == ["export", "memory", "end"]
    assert done.tokens == records[1]["summary"]["tokens"] > 0
    before = await content(redis_client, "chat:1")
    await redis_client.flushdb()
    await bring(redis_client, lines(*records))
    assert await content(redis_client, "chat:1") == before


async def test_an_export_changes_nothing(redis_client: Redis) -> None:
    """No life is extended, and nothing is written."""
    await bring(redis_client, talk("chat:1", 3))
    for key in await redis_client.keys():
        await redis_client.pexpire(key, 50_000)
    await redis_client.config_resetstat()
    await export(redis_client)
    statistics = await redis_client.info("commandstats")
    assert set(statistics) <= {
        f"cmdstat_{name}"
        for name in ("scan", "hmget", "xrevrange", "xrange", "zmscore", "config", "info", "config|resetstat")
    }


class Disturbed(Outgoing):
    """Lets something happen to the memory while it is being read.

    Args:
        redis: of the memory.
        times: how often.
        script: what happens: a command on its keys.
    """

    def __init__(self, redis: Redis, times: int, command: str) -> None:
        super().__init__(redis, SPACE)
        self._redis = redis
        self._times = times
        self._command = command

    async def pages(self, keys: MemoryKeys, last_id: str) -> AsyncIterator[list[Entry]]:
        async for page in super().pages(keys, last_id):
            yield page
        if self._times:
            self._times -= 1
            if self._command == "append":
                await self._redis.xadd(keys.log, {"r": "user", "c": "later", "n": "4"})
                await self._redis.hincrby(keys.meta, "messages", 1)
            elif self._command == "flush":
                await self._redis.hincrby(keys.meta, "fence", 1)
            else:
                await self._redis.delete(keys.log, keys.meta, keys.keep)


async def disturbed(redis: Redis, times: int, command: str) -> bytes:
    written = io.BytesIO()
    outgoing = Disturbed(redis, times, command)
    work = Export(outgoing=outgoing, space=SPACE, definitions=DEFINITIONS, write=written.write, progress=Silent())
    await work.run([("chat", "1")])
    return written.getvalue()


async def test_what_is_appended_meanwhile_comes_next_time(redis_client: Redis) -> None:
    """An append does not disturb an export, and is not part of it."""
    await bring(redis_client, talk("chat:1", 3))
    data = await disturbed(redis_client, 1, "append")
    assert b"later" not in data
    assert data.endswith(b'{"type":"end","messages":3}\n')


async def test_a_memory_that_a_flush_changes_is_written_again(redis_client: Redis) -> None:
    """What was written of it is void, and an import takes the rest."""
    await bring(redis_client, talk("chat:1", 3))
    data = await disturbed(redis_client, 2, "flush")
    assert data.count(b'{"type":"void"}\n') == 2
    before = await content(redis_client, "chat:1")
    await redis_client.flushdb()
    await bring(redis_client, data)
    assert await content(redis_client, "chat:1") == before


async def test_a_memory_that_goes_meanwhile_is_void(redis_client: Redis) -> None:
    """One that is cleared while it is written is not part of the export, which stays a valid one."""
    await bring(redis_client, talk("chat:1", 3))
    data = await disturbed(redis_client, 1, "clear")
    assert data.endswith(b'{"type":"void"}\n')
    assert (await bring(redis_client, data)).memories == 0


async def test_one_that_never_rests_is_given_up(redis_client: Redis) -> None:
    """The tries are bounded."""
    await bring(redis_client, talk("chat:1", 3))
    with pytest.raises(MemoryProblem, match=f"chat:1: it changed during each of {MAX_TRIES} tries"):
        await disturbed(redis_client, MAX_TRIES, "flush")


async def test_what_somebody_made_by_hand_is_written(redis_client: Redis) -> None:
    """An entry that no append wrote does not stop an export, and an import names it."""
    keys = memory("chat:1").keys
    await redis_client.xadd(keys.log, {"c": b"\xff"}, id="1-1")
    await redis_client.hset(keys.meta, mapping={"epoch": 1, "encoding": "o200k_base"})
    records, _ = await export(redis_client)
    assert records[2]["message"] == {"role": "", "content": "�"}


FENCES = re.findall(r"```json\n(.*?)```", (DOCS / "migration.md").read_text(), re.DOTALL)


async def test_the_form_is_that_of_the_page(redis_client: Redis) -> None:
    """The export that docs/migration.md shows is what an export of that memory is, to the last count."""
    shown, by_hand = FENCES
    await bring(redis_client, shown.encode())
    records, _ = await export(redis_client)
    assert records == [json.loads(line) for line in shown.splitlines()]
    await redis_client.flushdb()
    assert (await bring(redis_client, by_hand.encode())).messages == 1
