"""Imports from lists as Compozy's Go engine writes them, laid out on a real Redis by its own commands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.transfer.compozy import PAGE_MESSAGES, ListedMemories, prefix_of
from sidecar.transfer.problems import LineProblem, MemoryProblem
from sidecar.transfer.sources import Event, Said
from tests.transfer.moving import content, export, work

APPEND = """
for i = 3, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
if tonumber(ARGV[2]) > 0 then redis.call('HINCRBY', KEYS[2], 'token_count', ARGV[2]) end
redis.call('HINCRBY', KEYS[2], 'message_count', #ARGV - 2)
return redis.call('LLEN', KEYS[1])
"""
"""What the engine does on Redis for an append: list, metadata, most messages (0: any), estimated tokens, messages."""


async def append(redis: Redis, key: str, *messages: dict[str, Any], project: str = "shop") -> str:
    """Append as the engine does; return the list's name."""
    name = f"compozy:{project}:memory:{key}"
    texts = [json.dumps(message, ensure_ascii=False, separators=(",", ":")) for message in messages]
    evaluated: Any = redis.eval(APPEND, 2, name, f"{name}:metadata", "0", "17", *texts)
    await evaluated
    return name


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def lists(redis: Redis) -> ListedMemories:
    return ListedMemories(redis, prefix=prefix_of("shop"), definition="chat")


async def test_a_list_becomes_a_memory(redis_client: Redis) -> None:
    """Messages keep their order, get ids that say that no time is known, and exact counts; the list stays."""
    name = await append(redis_client, "user:1", said("system", "be kind"), said("user", "naïve 🙂 <b>"))
    await append(redis_client, "user:1", said("assistant", "Hello!"), said("tool", "42"))
    before = await redis_client.lrange(name, 0, -1)
    source = lists(redis_client)
    done = await work(redis_client).run(source.events(await source.keys([b"*"])))
    log, kept, facts = await content(redis_client, "chat:user:1")
    assert [(id_, fields[b"r"], fields[b"c"].decode()) for id_, fields in log] == [
        (b"1-1", b"system", "be kind"),
        (b"1-2", b"user", "naïve 🙂 <b>"),
        (b"1-3", b"assistant", "Hello!"),
        (b"1-4", b"tool", "42"),
    ]
    assert [id_ for id_, _ in kept] == [b"1-1"]
    assert (done.memories, done.messages, str(done.tokens).encode()) == (1, 4, facts["tokens"])
    assert await redis_client.lrange(name, 0, -1) == before


async def test_only_what_is_asked_for(redis_client: Redis) -> None:
    """Other projects, metadata, marks and patterns that do not fit are left out."""
    for project in ("shop", "shop2"):
        await append(redis_client, "user:1", said("user", "a"), project=project)
    await append(redis_client, "user:2", said("user", "b"))
    await redis_client.set("__compozy_internal__:flush_pending:compozy:shop:memory:user:1", "1")
    assert await lists(redis_client).keys([b"*"]) == ["user:1", "user:2"]
    assert await lists(redis_client).keys([b"chat:*:2"]) == ["user:2"]
    doubled = ListedMemories(redis_client, prefix="compozy:shop2:memory:", definition="chat")
    assert await doubled.keys([b"*"]) == ["user:1"]


async def test_its_summary_is_the_memorys(redis_client: Redis) -> None:
    """The engine's summary is no message, which nobody could ever remove, and other instructions stay messages."""
    summary = "Summary of 12 messages: [user]: hello ... [assistant]: bye"
    await append(redis_client, "1", said("system", summary), said("system", summary), said("user", "hi"))
    source = lists(redis_client)
    await work(redis_client).run(source.events(["1"]))
    log, _, facts = await content(redis_client, "chat:1")
    assert [fields[b"c"] for _, fields in log] == [summary.encode(), b"hi"]
    assert (facts["summary"], facts["summary_messages"]) == (summary.encode(), b"12")
    records, _ = await export(redis_client)
    assert records[1]["summary"]["text"] == summary


async def test_a_second_run_changes_nothing(redis_client: Redis) -> None:
    """A migration can be repeated: what has come is passed over, what is new comes."""
    await append(redis_client, "1", *(said("user", str(n)) for n in range(2 * PAGE_MESSAGES + 3)))
    source = lists(redis_client)
    await work(redis_client).run(source.events(["1"]))
    await append(redis_client, "2", said("user", "x"))
    done = await work(redis_client).run(source.events(await source.keys([b"*"])))
    assert (done.there, done.memories) == (1, 1)
    assert len((await content(redis_client, "chat:1"))[0]) == 2 * PAGE_MESSAGES + 3


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ("{", "it is no JSON object"),
        ('"x"', "it is no JSON object"),
        ('{"role":"bot","content":"x"}', "role of message 2"),
    ],
)
async def test_what_is_no_message_is_named(redis_client: Redis, element: str, why: str) -> None:
    """The list, the place in it and the reason are named, and nothing of it is stored."""
    name = await append(redis_client, "1", said("user", "x"))
    await redis_client.rpush(name, element)
    with pytest.raises(LineProblem) as caught:
        await work(redis_client).run(lists(redis_client).events(["1"]))
    assert str(caught.value).startswith(f"{name}:2: ")
    assert why in str(caught.value)
    assert not await redis_client.keys("mem:log:*")


async def test_an_engine_that_still_writes_is_noticed(redis_client: Redis) -> None:
    """A list that changes while it is read is not stored."""

    async def disturbed() -> AsyncIterator[Event]:
        async for event in lists(redis_client).events(["1"]):
            yield event
            if isinstance(event, Said):
                await append(redis_client, "1", said("user", "more"))

    await append(redis_client, "1", said("user", "x"))
    with pytest.raises(MemoryProblem, match="the list changed while it was read; stop the engine"):
        await work(redis_client).run(disturbed())
    assert not await redis_client.keys("mem:log:*")


async def test_a_list_that_has_gone_is_passed_over(redis_client: Redis) -> None:
    """One that expires after it was found is none."""
    assert (await work(redis_client).run(lists(redis_client).events(["1"]))).memories == 0
