"""Imports into a real Redis: what becomes of a memory, and that it comes exactly once, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.dev.ports import free_port
from sidecar.errors import Unavailable
from sidecar.memory.message import Message, count_summary
from sidecar.store.incoming import PAGE_MESSAGES, Arrival, Gathered, Incoming
from sidecar.tokens.counter import load_counter
from sidecar.transfer import jsonl
from sidecar.transfer import lines as form
from sidecar.transfer.arriving import FUTURE_MS
from sidecar.transfer.problems import LineProblem, MemoryProblem
from tests.transfer.moving import (
    CHAT,
    NOW_MS,
    begun,
    bring,
    content,
    ended,
    export,
    lines,
    memory,
    read,
    said,
    talk,
    work,
)

CALLS = [{"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
PARTS = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
SUMMARY = {"text": "They met.", "tokens": 1, "messages": 12, "first_id": "5-0", "last_id": "9-0"}

EVERYTHING = lines(
    {"type": "export", "version": 1, "project": "elsewhere"},
    begun("chat:42", encoding="o200k_base", summary=SUMMARY),
    said("system", "be kind", id="10-0"),
    said("user", PARTS, id="11-0", name="Ann", metadata={"trace": "t"}),
    said("assistant", None, id="11-1", tool_calls=CALLS),
    said("tool", "naïve 🙂", id="12-0", tool_call_id="a"),
    said("user", "keep this", id="1700000000000-3", pinned=True),
    ended(5),
    begun("default:7"),
    ended(0),
)


async def test_a_memory_is_as_it_was_exported(redis_url: str, redis_client: Redis) -> None:
    """Ids, parts, calls, names, pins and the summary come back, and a second export says the same."""
    done = await bring(redis_client, EVERYTHING)
    records, exported = await export(redis_client)
    assert (done.memories, done.messages) == (2, 5)
    assert exported.messages == 5
    got = [record.get("message") for record in records if record["type"] == "message"]
    assert got == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": PARTS, "name": "Ann", "metadata": {"trace": "t"}},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "content": "naïve 🙂", "tool_call_id": "a"},
        {"role": "user", "content": "keep this"},
    ]
    messages = [record for record in records if record["type"] == "message"]
    assert [record["id"] for record in messages] == ["10-0", "11-0", "11-1", "12-0", "1700000000000-3"]
    assert [record.get("pinned", False) for record in messages] == [False] * 4 + [True]
    assert messages[-1]["at"] == "2023-11-14T22:13:20.000Z"
    summary = next(record for record in records if record["type"] == "memory")["summary"]
    assert summary == SUMMARY | {"tokens": count_summary("They met.", load_counter("o200k_base").count)}
    before = await content(redis_client, "chat:42")
    await redis_client.flushdb()
    again = lines(*records)
    await bring(redis_client, again)
    assert await content(redis_client, "chat:42") == before


async def test_counts_are_those_of_an_append(redis_client: Redis) -> None:
    """What a message weighs is counted here, in the encoding of its definition, whatever the file says."""
    data = lines(begun("old:1"), {**said(content="naïve 🙂"), "tokens": 99}, ended(1))
    await bring(redis_client, data)
    count = load_counter("cl100k_base").count
    _, _, facts = await content(redis_client, "old:1")
    assert facts["encoding"] == b"cl100k_base"
    assert facts["tokens"] == str(3 + count("user") + count("naïve 🙂")).encode()


async def test_it_lives_as_long_as_its_definition_says(redis_client: Redis) -> None:
    """Log, totals and pins end, and nothing of the import is left besides."""
    await bring(redis_client, EVERYTHING)
    keys = memory("chat:42").keys
    assert all([0 < await redis_client.pttl(key) <= 3_600_000 for key in (keys.log, keys.meta, keys.keep)])
    left: Any = await redis_client.keys()
    assert {key.split(b":")[1] for key in left} == {b"log", b"meta", b"keep", b"due"}  # its image makes it large


async def test_one_above_its_threshold_is_due(redis_client: Redis) -> None:
    """A large memory is marked for a flush, as after an append."""
    await bring(redis_client, lines(begun("chat:1"), said(content="word " * 900), ended(1)))
    keys = memory("chat:1").keys
    assert await redis_client.zscore(keys.due, keys.name) is not None
    assert CHAT.threshold_tokens == 800


async def test_ids_may_be_left_out(redis_client: Redis) -> None:
    """Messages without ids get rising ones, also between those that have some."""
    await bring(redis_client, lines(begun("chat:1"), said(), said(), said(id="7-2"), said(), ended(4)))
    log, _, _ = await content(redis_client, "chat:1")
    assert [id_ for id_, _ in log] == [b"1-1", b"1-2", b"7-2", b"7-3"]


async def test_what_its_definition_keeps_out_stays_out(redis_client: Redis) -> None:
    """Redaction and roles that are not kept hold for imports, classes too."""
    done = await bring(
        redis_client,
        lines(
            begun("private:1"), said("tool", "x"), said(content="I am ann@example.org"), said("tool", "y"), ended(3),
            begun("ranked:1"), said(content="Always say please"), said(content="please"), ended(2),
        ),
    )  # fmt: skip
    log, _, _ = await content(redis_client, "private:1")
    assert [fields[b"c"] for _, fields in log] == [b"I am [email]"]
    assert done.dropped == 2
    log, kept, _ = await content(redis_client, "ranked:1")
    assert [fields.get(b"k") for _, fields in log] == [b"rules", None]
    assert len(kept) == 1
    records, _ = await export(redis_client, b"ranked:*")
    assert not any(record.get("pinned") for record in records)  # its class keeps it, nobody has pinned it


# ---- exactly once ----


async def test_a_second_run_changes_nothing(redis_client: Redis) -> None:
    """What an import has brought is passed over, also where it has grown since."""
    data = talk("chat:1", 3)
    await bring(redis_client, data)
    where = memory("chat:1").keys
    await redis_client.xadd(where.log, {"r": "user", "c": "later", "n": "4"})
    before = await redis_client.xrange(where.log)
    done = await bring(redis_client, data)
    assert (done.memories, done.there) == (0, 1)
    assert await redis_client.xrange(where.log) == before


async def test_something_else_is_not_overwritten(redis_client: Redis) -> None:
    """A memory that is there stays as it is, and the import says so."""
    await bring(redis_client, talk("chat:1", 3))
    for data in (talk("chat:1", 2), talk("chat:1", 3, first=2)):
        with pytest.raises(MemoryProblem, match=r"chat:1: something else is there already; clear it"):
            await bring(redis_client, data)
    assert len((await content(redis_client, "chat:1"))[0]) == 3


@pytest.mark.parametrize("broken_off", [1, PAGE_MESSAGES - 1, PAGE_MESSAGES, PAGE_MESSAGES + 1, 2 * PAGE_MESSAGES + 7])
async def test_one_that_broke_off_goes_on(redis_client: Redis, broken_off: int) -> None:
    """Wherever an import ends, nothing is to be seen of it, and the next one stores each message once."""
    whole = talk("chat:1", 2 * PAGE_MESSAGES + 9).splitlines(keepends=True)
    with pytest.raises(LineProblem, match="the input ends within chat:1"):
        await bring(redis_client, b"".join(whole[: broken_off + 1]))
    assert await redis_client.exists(memory("chat:1").keys.log) == 0
    await redis_client.config_resetstat()
    done = await bring(redis_client, b"".join(whole))
    log, _, facts = await content(redis_client, "chat:1")
    assert [fields[b"c"].decode() for _, fields in log] == [f"word {n}" for n in range(1, 2 * PAGE_MESSAGES + 10)]
    assert facts["messages"] == str(done.messages).encode() == str(2 * PAGE_MESSAGES + 9).encode()
    added: Any = await redis_client.info("commandstats")
    assert added["cmdstat_xadd"]["calls"] == len(log) - broken_off // PAGE_MESSAGES * PAGE_MESSAGES


async def test_a_page_that_is_sent_twice_is_there_once(redis_client: Redis) -> None:
    """The script recognises a page that has been gathered."""
    incoming, where = Incoming(redis_client), memory("chat:1")
    page = [Arrival("1-1", Message("user", "hi"), 5, False)]
    for _ in range(2):
        assert await incoming.gather(where, "n", "o200k_base", page, 0, "d") == Gathered(1, "d")
    assert await incoming.commit(where, "n", None, "import:d") == "done"
    assert len((await content(redis_client, "chat:1"))[0]) == 1


async def test_one_that_broke_off_with_other_messages_is_dropped(redis_client: Redis) -> None:
    """What was gathered of another input is not mixed with this one; the run after this one begins anew."""
    other = talk("chat:1", PAGE_MESSAGES + 5, first=100).splitlines(keepends=True)
    with pytest.raises(LineProblem):
        await bring(redis_client, b"".join(other[:-1]))
    data = talk("chat:1", PAGE_MESSAGES + 5)
    with pytest.raises(MemoryProblem, match="these were dropped, run it again"):
        await bring(redis_client, data)
    await bring(redis_client, data)
    assert (await content(redis_client, "chat:1"))[0][0][1][b"c"] == b"word 1"


async def test_one_that_had_gathered_more_is_dropped(redis_client: Redis) -> None:
    """A shorter input does not get the messages of a longer one."""
    longer = talk("chat:1", PAGE_MESSAGES + 5).splitlines(keepends=True)
    with pytest.raises(LineProblem):
        await bring(redis_client, b"".join(longer[:-1]))
    with pytest.raises(MemoryProblem, match="run it again"):
        await bring(redis_client, talk("chat:1", 3))
    await bring(redis_client, talk("chat:1", 3))
    assert len((await content(redis_client, "chat:1"))[0]) == 3


async def test_two_at_once_store_it_once(redis_client: Redis) -> None:
    """Two imports of the same file do not double a message."""
    data = talk("chat:1", 3 * PAGE_MESSAGES)
    outcomes = await asyncio.gather(*(bring(redis_client, data) for _ in range(3)), return_exceptions=True)
    assert not any(isinstance(each, BaseException) and not isinstance(each, MemoryProblem) for each in outcomes)
    await bring(redis_client, data)
    log, _, facts = await content(redis_client, "chat:1")
    assert len({id_ for id_, _ in log}) == len(log) == 3 * PAGE_MESSAGES
    assert facts["messages"] == str(len(log)).encode()


async def test_an_appended_memory_goes_on_behind_it(redis_client: Redis) -> None:
    """An import after a clear that is remembered, and the memory after it, keep ids rising."""
    await bring(redis_client, talk("chat:1", 3))
    keys = memory("chat:1").keys
    await redis_client.delete(keys.log, keys.keep, keys.meta)
    await redis_client.hset(keys.meta, "floor", "50-0")
    await bring(redis_client, talk("chat:1", 3))
    info: Any = await redis_client.xinfo_stream(keys.log)
    assert info["last-generated-id"] == b"50-0"


async def test_a_locked_memory_is_left_alone(redis_client: Redis) -> None:
    """While somebody holds the lock of the target, nothing is stored."""
    keys = memory("chat:1").keys
    await redis_client.set(keys.lock, "token", px=60_000)
    with pytest.raises(MemoryProblem, match="somebody holds its lock"):
        await bring(redis_client, talk("chat:1", 3))
    await redis_client.delete(keys.lock)
    assert (await bring(redis_client, talk("chat:1", 3))).memories == 1


async def test_void_memories_are_not_stored(redis_client: Redis) -> None:
    """What was written of a memory before it changed does not hold."""
    data = lines(begun("chat:1"), said(content="a"), {"type": "void"}, begun("chat:1"), said(content="b"), ended(1))
    await bring(redis_client, data)
    assert [fields[b"c"] for _, fields in (await content(redis_client, "chat:1"))[0]] == [b"b"]


async def test_a_check_stores_nothing(redis_client: Redis) -> None:
    """A dry run counts, and finds what is wrong, without a Redis."""
    done = await bring(None, EVERYTHING)
    assert (done.memories, done.messages) == (2, 5)
    assert await redis_client.dbsize() == 0


async def test_memories_can_be_chosen_and_moved(redis_client: Redis) -> None:
    """A pattern chooses by the keys of the file, and all can be put under one definition."""
    data = talk("chat:1", 1) + talk("chat:2", 1) + talk("gone:3", 1)
    await bring(redis_client, data, patterns=[b"*:1", b"gone:*"], definition="default")
    records, _ = await export(redis_client)
    assert [record["key"] for record in records if record["type"] == "memory"] == ["default:1", "default:3"]


# ---- what is wrong ----

LATE = f"{NOW_MS + FUTURE_MS + 1}-0"

WRONG = [
    (["{"], 1, "it is no record of an export: Input data was truncated"),
    (["[]"], 1, "Expected `object`, got `array`"),
    ([{"type": "memo", "key": "chat:1"}], 1, "Invalid value 'memo' - at `$.type`"),
    ([{"type": "memory"}], 1, "missing required field `key`"),
    ([{"type": "memory", "key": "chat:1", "keys": 1}], 1, "unknown field `keys`"),
    ([{"type": "export", "version": 2}], 1, "its version is 2, and this memsidecar reads 1"),
    ([said()], 1, "no memory has begun; a line with its key comes before its messages"),
    ([begun("chat:1"), begun("chat:2")], 2, "the memory before it has no end"),
    ([begun("chat:1"), said()], 2, "the input ends within chat:1"),
    ([begun("chat:1"), said(), ended(2)], 3, "has 1 messages here, and its end says 2; nothing of it was stored"),
    ([begun("chat:1"), "", said("usr")], 3, "role of message 1 is 'usr'"),
    ([begun("chat:1"), said(content=7)], 2, "content of message 1 must be a string, null or a list of parts"),
    ([begun("chat:1"), said(), said(content=[{}])], 3, "each part of message 2's content"),
    ([begun("chat:1"), said(id="1")], 2, "'1' is no id"),
    ([begun("chat:1"), said(id="0-0")], 2, "must be greater than that of the message before it"),
    ([begun("chat:1"), said(id="2-0"), said(id="2-0")], 3, "must be greater than that of the message before it"),
    ([begun("chat:1"), said(id=LATE)], 2, "lies in the future"),
    ([begun("chat:1", summary={"text": ""})], 1, "Expected `str` of length >= 1"),
    ([begun("chat:1", summary={"text": "x", "messages": -1})], 1, "Expected `int` >= 0"),
    ([begun("chat:1", summary={"text": "x", "first_id": "1-1"})], 1, "'' is no id"),
    ([begun("chat:1", summary={"text": "x", "first_id": "2-0", "last_id": "1-9"})], 1, "is before its first_id"),
    ([begun("chat:")], 1, "the instance is empty"),
    ([begun("chat:a b")], 1, "byte 0x20 at offset 6 is not allowed"),
    ([begun("chat:{{x}}")], 1, "is a template; an import takes keys as they are"),
    ([begun("chatt:1")], 1, "no memory definition for key 'chatt:1'"),
    ([begun("frozen:1")], 1, "the definition 'frozen' is read-only here"),
    ([begun("small:1"), said(), said(), said(), ended(3)], 5, "has 3 messages, and 'small' holds at most 2"),
]


@pytest.mark.parametrize(("records", "line", "why"), WRONG)
async def test_what_is_wrong_is_named(redis_client: Redis, records: list[Any], line: int, why: str) -> None:
    """A line that is no part of an export, or cannot be stored, is named with its reason; its memory is not stored."""
    with pytest.raises(LineProblem) as caught:
        await bring(redis_client, lines(*records))
    assert str(caught.value).startswith(f"x.jsonl:{line}: ")
    assert why in str(caught.value)
    assert not await redis_client.keys("mem:log:*")


async def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no lines does not fill the memory."""
    monkeypatch.setattr(form, "MAX_LINE_BYTES", 100)  # the limit, not the code: 64 MiB take a while
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    with pytest.raises(LineProblem, match=r"it is longer than 100 bytes; is this an export\?"):
        await bring(None, b"x" * 1_000)


async def test_memories_before_a_mistake_are_there(redis_client: Redis) -> None:
    """What is complete is stored; after the mistake is mended, the rest follows."""
    wrong = talk("chat:1", 2) + lines(begun("chat:2"), said("usr"), ended(1))
    with pytest.raises(LineProblem, match=r"x\.jsonl:6: BADMESSAGE"):
        await bring(redis_client, wrong)
    done = await bring(redis_client, talk("chat:1", 2) + talk("chat:2", 1))
    assert (done.there, done.memories) == (1, 1)


async def test_redis_away() -> None:
    """Without a Redis the import says so."""
    async with Redis(port=free_port()) as nobody:
        with pytest.raises(Unavailable):
            await work(nobody).run(read(talk("chat:1", 1)))
