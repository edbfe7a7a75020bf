"""Kept reads: how much is kept, and that Redis is asked each time whether it still holds.

That no change escapes is shown in `test_every_change`, where every step is followed by reads of this kind.
"""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.flush.steps import FlushSteps
from sidecar.flush.undo import Undo
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics
from sidecar.store.flush_copies import FlushCopies
from sidecar.store.flush_store import FlushStore
from sidecar.store.kept_reads import MESSAGE_BYTES, KeptReads
from sidecar.store.undo_store import UndoStore
from tests.flush.memories import DEFINITIONS, READ, SPACE, SUMMED, LiveMemory, NotingSummariser, WordCounter, talk
from tests.flush.stepping import flush
from tests.store.live import LiveStore, calls, memory

TWO = MESSAGE_BYTES * 2
"""What a result of one empty message takes."""


def result(text: str = "") -> ReadResult:
    return ReadResult(None, 0, [StoredMessage("1-0", "user", text, 1)], 1, 1, more=False, left_out=0)


class TestHowMuch:
    def test_the_version_goes_with_it(self) -> None:
        """A result comes back with its version, and a newer one takes its place."""
        kept, first, second = KeptReads(), result("a"), result("b")
        kept.put(("me", 1), "v1", first)
        kept.put(("me", 1), "v2", second)
        found = kept.get(("me", 1))
        assert found is not None
        assert (found.version, found.result is second) == ("v2", True)
        assert kept.size == found.size
        assert kept.get(("me", 2)) is None

    def test_the_longest_unasked_goes_first(self) -> None:
        """Above the limit the result goes that nobody has asked for the longest."""
        kept = KeptReads(16 * TWO)
        for number in range(16):
            kept.put(("me", number), "v", result())
        assert kept.get(("me", 0)) is not None
        kept.put(("me", 16), "v", result())
        assert kept.get(("me", 0)) is not None
        assert kept.get(("me", 1)) is None
        assert kept.size == 16 * TWO

    def test_a_large_one_is_not_kept(self) -> None:
        """A result above a sixteenth of all is not kept, and the older one to the same question goes all the same."""
        kept = KeptReads(16 * TWO)
        kept.put(("me", 1), "v1", result())
        kept.put(("me", 1), "v2", result("a"))
        assert kept.get(("me", 1)) is None
        assert kept.size == 0

    def test_fields_and_summaries_count(self) -> None:
        """Everything that is text counts, once as it came and once as it is written."""
        kept = KeptReads()
        kept.put(("me",), "v", ReadResult("sum", 1, [StoredMessage("1-0", "user", "ab", 1, "{}")], 1, 1, False, 0))
        assert kept.size == TWO + 2 * (3 + 2 + 2)

    def test_one_who_leaves(self) -> None:
        """Who leaves takes what he has read along, and nothing of others."""
        kept, me, you = KeptReads(), object(), object()
        for owner in (me, you):
            kept.put((owner, 1), "v", result())
        kept.forget(me)
        assert kept.get((me, 1)) is None
        assert kept.get((you, 1)) is not None
        assert kept.size == TWO


@pytest.mark.parametrize("options", [{}, {"most": 2}, {"tokens": 100}], ids=["all", "newest", "budget"])
async def test_an_unchanged_memory_is_not_walked(live: LiveStore, redis_client: Redis, options: dict[str, Any]) -> None:
    """A repeated read gets the very same result, and Redis looks at the newest entry only."""
    where = memory()
    await live.append(where, *(("user", "hi", 5) for _ in range(5)))
    first = await live.read(where, **options)
    walks = await _walks(redis_client)
    assert await live.read(where, **options) is first
    assert await _walks(redis_client) == walks + 1
    await live.append(where, ("user", "ho", 5))
    assert (await live.read(where, **options)).messages[-1].content == "ho"


async def _walks(redis: Redis) -> int:
    return await calls(redis, "xrange") + await calls(redis, "xrevrange")


@pytest.mark.parametrize(
    "by_hand",
    [("XDEL", "log", "first"), ("XTRIM", "log", "MAXLEN", "1"), ("DEL", "log"), ("HSET", "meta", "summary", "other")],
    ids=lambda words: words[0],
)
async def test_changes_by_hand(live: LiveStore, redis_client: Redis, by_hand: tuple[str, ...]) -> None:
    """Who changes a memory past the sidecar is seen as well."""
    where = memory()
    added = await live.append(where, *(("user", "hi", 5) for _ in range(3)))
    before = await live.read(where)
    names = {"log": where.keys.log, "meta": where.keys.meta, "first": added.first_id or ""}
    words = [names.get(word, word) for word in by_hand]
    await redis_client.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py's own gap
    after = await live.read(where)
    assert (after.messages, after.summary) != (before.messages, before.summary)


async def test_another_pin(live: LiveStore) -> None:
    """A pin in place of another one of the same weight changes what a budget holds."""
    where = memory()
    added = await live.append(where, ("user", "first", 5), ("user", "second", 5), ("user", "third", 5))
    first = added.first_id or ""
    second = (await live.read(where)).messages[1].id
    for pinned, other in ((first, second), (second, first)):
        await live.pin(where, other, pin=False)
        await live.pin(where, pinned)
        assert [message.id for message in (await live.read(where, tokens=10)).messages] == [pinned, added.last_id]


async def test_another_of_the_same_weight(live: LiveStore) -> None:
    """A message that comes in place of another one, with the same totals, is a change."""
    where = memory()
    added = await live.append(where, ("user", "first", 5), ("user", "second", 5))
    assert (await live.read(where)).messages[0].content == "first"
    await live.delete(where, added.first_id or "")
    await live.append(where, ("user", "third", 5))
    assert [message.content for message in (await live.read(where)).messages] == ["second", "third"]


async def test_flush_and_undo(live: LiveStore, redis_client: Redis) -> None:
    """What a flush removes is gone for whoever has read it before, and there again after an undo."""
    store = FlushStore(redis_client, SPACE)
    steps = FlushSteps(
        store=store,
        definitions=DEFINITIONS,
        counter=lambda _: WordCounter(),
        summariser=NotingSummariser(),
        metrics=Metrics(),
    )
    there = LiveMemory(redis_client, SUMMED)
    where = memory(SUMMED, there.instance)
    await there.append(talk(20))
    before = await live.read(where)
    await flush(steps, there, "first")
    between = await live.read(where)
    assert len(between.messages) < len(before.messages)
    assert between.summary
    await Undo(store=UndoStore(redis_client, SPACE), copies=FlushCopies(redis_client, SPACE)).undo(*there.address)
    assert await live.read(where) == before


async def test_what_is_not_kept(live: LiveStore) -> None:
    """Reads that note what they return, wait or cut are made anew each time."""
    noting, plain = memory(READ), memory()
    for where in (noting, plain):
        await live.append(where, ("user", "hi", 5))
    requests = [
        ReadRequest(noting),
        ReadRequest(plain, since="0-1", block_ms=1),
        ReadRequest(plain, tokens=9, oversize="truncate"),
    ]
    for request in requests:
        first, second = (await live.find(request)).result, (await live.find(request)).result
        assert first == second
        assert first is not second
    assert live.kept_reads.size == 0
