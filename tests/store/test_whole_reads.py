"""Reads of a whole memory, whose messages come beside the script: what they cost, and that they are of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.flush.steps import FlushSteps
from sidecar.flush.undo import Undo
from sidecar.memory.addressing import Memory
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.metrics import Metrics
from sidecar.store.flush_copies import FlushCopies
from sidecar.store.flush_store import FlushStore
from sidecar.store.kept_reads import KeptReads
from sidecar.store.lease import Lease
from sidecar.store.memory_store import MemoryStore
from sidecar.store.undo_store import UndoReply, UndoStore
from sidecar.store.whole_reads import MOST_MESSAGES, is_whole
from tests.flush.memories import CHAT, DEFINITIONS, SPACE, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import flush
from tests.store.between import Between
from tests.store.live import SHORT, LiveStore, calls, change, memory

SAID = [entry[1] for entry in talk(3)]

BESIDE, ALONE = 1, 2
"""Scripts of a read whose messages came beside the first one, and of one that had to be made anew."""


async def read(live: LiveStore, where: Memory, disturb: Callable[[], Awaitable[object]]) -> tuple[ReadResult, int]:
    """Read while something happens between the messages and the script; return also how many scripts it took."""

    async def before(_name: str, times: int) -> None:
        if times == 1:
            await live.all_answered()  # its answer comes behind the messages
            await disturb()

    between = Between(live.pipe, before)
    store = MemoryStore(pipe=between, changes=live.changes, kept_reads=KeptReads(0))
    return await live.read(where, store=store), between.sent["read"]


async def nothing() -> None:
    """Happens between the messages and the script."""


def texts(result: ReadResult) -> list[str]:
    return [message.content for message in result.messages]


async def test_the_script_looks_at_no_message(live: LiveStore, redis_client: Redis) -> None:
    """All of them come by one XRANGE; of an empty memory, too, and with the summary."""
    where = memory()
    assert texts(await live.read(where)) == []
    await live.append(where, *talk(3))
    await change(redis_client, where, {"summary": "before", "summary_tokens": 4})
    walks = await calls(redis_client, "xrange")
    result, scripts = await read(live, where, nothing)
    assert (texts(result), result.summary, result.tokens) == (SAID, "before", 154)
    assert (result.total_messages, result.total_tokens, result.more, result.left_out) == (3, 154, False, 0)
    assert (await calls(redis_client, "xrange") - walks, scripts) == (1, BESIDE)


@pytest.mark.parametrize(
    "chosen", [{"tokens": 1_000}, {"count": 3}, {"since": "0-1"}, {"before": "9"}, {"roles": ("user",)}], ids=str
)
def test_whatever_chooses_among_the_messages_is_the_scripts(chosen: dict[str, Any]) -> None:
    """A bound of any kind makes it no whole read; summary, format and life do not matter."""
    assert not is_whole(ReadRequest(memory(), **chosen))
    assert is_whole(ReadRequest(memory(), with_summary=False, format="openai", touch=False))


async def test_a_long_memory_is_left_to_the_script(live: LiveStore, redis_client: Redis) -> None:
    """It is read whole, and from the second time on not asked for in vain."""
    where, store = memory(), MemoryStore(pipe=live.pipe, changes=live.changes, kept_reads=KeptReads(0))
    for most, walks in ((MOST_MESSAGES, 1), (MOST_MESSAGES + 1, 2), (MOST_MESSAGES + 2, 1)):
        await live.append(where, *talk(most - (await live.info(where)).messages))
        before = await calls(redis_client, "xrange")
        assert len((await live.read(where, store=store)).messages) == most
        assert await calls(redis_client, "xrange") - before == walks


async def test_a_redis_that_does_not_know_the_script(live: LiveStore, redis_client: Redis) -> None:
    """It is told the script, and the messages are still those of the same moment."""
    where = memory()
    await live.append(where, *talk(2))
    await redis_client.script_flush()
    result, scripts = await read(live, where, nothing)
    assert (len(result.messages), scripts) == (2, BESIDE)


async def test_a_key_of_another_type(live: LiveStore, redis_client: Redis) -> None:
    """The script's own error is told, once."""
    where = memory()
    await redis_client.set(where.keys.log, "mine")
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        await live.read(where)


async def test_a_life_begins_anew(live: LiveStore, redis_client: Redis) -> None:
    """A read that touches a memory does so in this way, too."""
    where = memory(SHORT)
    await live.append(where, *talk(1))
    await redis_client.pexpire(where.keys.log, 1_000)
    await live.read(where, touch=True)
    assert await redis_client.pttl(where.keys.log) > 1_000


async def test_an_append_comes_in_between(live: LiveStore) -> None:
    """The reply has the message, which its totals count."""
    where = memory()
    await live.append(where, *talk(2))
    result, scripts = await read(live, where, lambda: live.append(where, ("user", "late", 5)))
    assert (texts(result)[-1], result.total_messages, scripts) == ("late", 3, ALONE)


async def test_a_message_goes_in_between(live: LiveStore) -> None:
    """The reply has not the message, which its totals do not count; also where another one comes in its place."""
    where = memory()
    first = (await live.append(where, *talk(3))).first_id or ""
    result, scripts = await read(live, where, lambda: live.delete(where, first))
    assert (texts(result), scripts) == (SAID[1:], ALONE)

    async def replace() -> None:
        await live.delete(where, result.messages[0].id)
        await live.append(where, ("user", "new", 50))

    result, scripts = await read(live, where, replace)
    assert (texts(result)[-1], len(result.messages), result.total_messages, scripts) == ("new", 2, 2, ALONE)


async def test_all_goes_in_between(live: LiveStore) -> None:
    """A memory that is cleared, and begun anew, is read as what it is now."""
    where = memory()
    await live.append(where, *talk(2))

    async def begin_anew() -> None:
        await live.clear(where)
        await live.append(where, *talk(2))

    before = await live.read(where)
    result, scripts = await read(live, where, begin_anew)
    assert scripts == ALONE
    assert [message.id for message in result.messages] != [message.id for message in before.messages]
    result, scripts = await read(live, where, lambda: live.clear(where))
    assert (result.messages, result.total_messages, scripts) == ([], 0, ALONE)


class HeldUndo(UndoStore):
    """Waits before an undo's last step until the test lets it go."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, SPACE)
        self.reached, self.released = asyncio.Event(), asyncio.Event()

    async def commit(self, lease: Lease, *, cursor: str, tokens: int) -> UndoReply:
        self.reached.set()
        await self.released.wait()
        return await super().commit(lease, cursor=cursor, tokens=tokens)


@pytest.mark.parametrize("kept", [False, True], ids=["first read", "repeated read"])
async def test_messages_come_back_and_as_many_go(live: LiveStore, redis_client: Redis, kept: bool) -> None:
    """An undo that was under way ends, and as many messages of the same weight are deleted: newest message, length and
    totals are what they were, and yet the reply has what is there."""
    steps = FlushSteps(
        store=FlushStore(redis_client, SPACE),
        definitions=DEFINITIONS,
        counter=lambda _: WordCounter(),
        summariser=NotingSummariser(),
        metrics=Metrics(),
    )
    there = LiveMemory(redis_client)
    where = memory(CHAT, there.instance)
    await there.append(talk(20))
    ids = [message.id for message in await there.messages()]
    await flush(steps, there)
    gone = len(ids) - len(await there.messages())
    held = HeldUndo(redis_client)
    undo = asyncio.create_task(Undo(store=held, copies=FlushCopies(redis_client, SPACE)).undo(*there.address))
    await held.reached.wait()

    async def end_and_delete() -> None:
        held.released.set()
        await undo
        assert await live.delete(where, *ids[-1 - gone : -1]) == gone

    if kept:
        await live.read(where)
        await end_and_delete()
        result = await live.read(where)
    else:
        result, scripts = await read(live, where, end_and_delete)
        assert scripts == ALONE
    assert [message.id for message in result.messages] == [*ids[: -1 - gone], ids[-1]]
