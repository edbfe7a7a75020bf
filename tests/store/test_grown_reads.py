"""Reads that go on from an earlier one: the same as if all were read anew, whatever has been appended."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.memory.definition import Definition
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.store.kept_reads import KeptReads
from sidecar.store.memory_store import MemoryStore
from tests.flush.memories import Entry
from tests.store.histories import SETTINGS
from tests.store.live import LiveStore, calls, memory

CALL = '{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}'
RESULT = '{"tool_call_id":"a"}'

QUESTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"most": 3},
    {"tokens": 40},
    {"tokens": 40, "with_summary": False},
    {"tokens": 40, "most": 3},
    {"since": "0-1"},
)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.tuples(st.sampled_from(["user", "user", "assistant", "system"]), st.text("abé", max_size=3), st.integers(1, 15)),
    st.tuples(st.just("user"), st.just("as large as a budget"), st.integers(38, 42)),
    st.tuples(st.just("assistant"), st.just(""), st.integers(1, 9), st.just(CALL)),
    st.tuples(st.just("tool"), st.just("42"), st.integers(1, 9), st.just(RESULT)),
)
_instances = count()


@SETTINGS
@given(turns=st.lists(st.lists(ENTRIES, min_size=1, max_size=3), min_size=2, max_size=8), plain=st.booleans())
async def test_appends_of_any_kind(live: LiveStore, turns: list[list[Entry]], plain: bool) -> None:
    """After each append every question has the answer that somebody gets who asks it for the first time."""
    where = memory(instance=f"grown-{next(_instances)}")
    forgetful = MemoryStore(pipe=live.pipe, changes=live.changes, kept_reads=KeptReads(0))
    for turn in turns:
        entries = [entry[:3] for entry in turn] if plain else turn
        await live.append(where, *entries)
        for question in QUESTIONS:
            assert await live.read(where, **question) == await live.read(where, **question, store=forgetful)


@pytest.mark.parametrize("question", QUESTIONS[:4])
async def test_only_what_is_new_is_read(live: LiveStore, redis_client: Redis, question: dict[str, Any]) -> None:
    """Of a conversation with instructions that goes on, Redis returns the new messages only."""
    where = memory()
    await live.append(where, ("system", "be kind", 5), *(("user", "hi", 5) for _ in range(20)))
    await live.read(where, **question)
    for words in ("one", "two"):
        before = await _walks(redis_client)
        await live.append(where, ("user", words, 5))
        assert (await live.read(where, **question)).messages[-1].content == words
        after = await _walks(redis_client)
        # The newest id, and the new ones; a read of all would be an XRANGE too, a walk a second XREVRANGE.
        assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


async def _walks(redis: Redis) -> tuple[int, int]:
    return int(await calls(redis, "xrange")), int(await calls(redis, "xrevrange"))


SHARED = Definition("shared", max_tokens=None, token_allocation={"short_term": 0.5})


@pytest.mark.parametrize(
    ("definition", "options", "first"),
    [
        (None, {"tokens": 40, "count": 2}, []),
        (None, {"roles": ("user",)}, []),
        (None, {"before": "9999999999999-0"}, []),
        (None, {"tokens": 40}, [("tool", "42", 1, RESULT)]),
        (None, {"tokens": 40}, [("user", "larger", 50)]),
        (SHARED, {"tokens": 40}, []),
    ],
    ids=["count and tokens", "roles", "before", "tools", "something is left out", "shares"],
)
async def test_what_is_read_anew(
    live: LiveStore, definition: Definition | None, options: dict[str, Any], first: list[Entry]
) -> None:
    """Where more would have to be known, the answer is that of a read of all, and has what is new."""
    where = memory(definition) if definition else memory()
    await live.append(where, *first, ("user", "one", 5))
    await _ask(live, where, options)
    await live.append(where, ("user", "two", 5))
    forgetful = MemoryStore(pipe=live.pipe, changes=live.changes, kept_reads=KeptReads(0))
    found = await _ask(live, where, options)
    assert found == await _ask(live, where, options, forgetful)
    assert [message.content for message in found.messages][-2:] == ["one", "two"]


async def _ask(live: LiveStore, where: Any, options: dict[str, Any], store: MemoryStore | None = None) -> ReadResult:
    request = ReadRequest(where, touch=False, **options)
    found: Any = await live.sent(lambda done: (store or live.store).read(request, done))
    result: ReadResult = found.result
    return result


async def test_more_than_is_looked_at(live: LiveStore) -> None:
    """After hundreds of new messages all is read anew."""
    where = memory()
    await live.append(where, ("user", "first", 1))
    await live.read(where)
    await live.append(where, *(("user", f"{number}", 1) for number in range(300)))
    assert len((await live.read(where)).messages) == 301


async def test_a_pin_is_not_forgotten(live: LiveStore) -> None:
    """A pinned message stays in a budget when newer ones push out those around it."""
    where = memory()
    added = await live.append(where, ("user", "pinned", 10), ("user", "other", 10))
    await live.pin(where, added.first_id or "")
    for number in range(6):
        contents = [message.content for message in (await live.read(where, tokens=40)).messages]
        assert contents[0] == "pinned"
        await live.append(where, ("user", f"{number}", 10))


async def test_a_new_message_that_never_fits(live: LiveStore) -> None:
    """One that would not fit even alone beside the instructions is passed over and counted, as in a read of all."""
    where = memory()
    await live.append(where, ("system", "be kind", 10), ("user", "one", 5))
    await live.read(where, tokens=40)
    await live.append(where, ("user", "long", 35))
    found = await live.read(where, tokens=40)
    assert ([message.content for message in found.messages], found.left_out) == (["be kind", "one"], 1)
