"""`append.lua`: what one batch leaves on Redis, when it is stored again, and when it is not stored at all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition
from sidecar.memory.results import AppendResult, EncodingDiffers
from tests.flush.memories import Entry, LiveMemory, talk
from tests.store.live import DUE, ENCODING, ENDLESS, MANY, SHORT, LiveStore, change, memory, score

HOUR_MS = 3_600_000


def seen(redis: Redis, where: Memory) -> LiveMemory:
    """Return the memory as it lies on Redis."""
    return LiveMemory(redis, where.definition, where.instance)


def order(id_: str) -> tuple[int, int]:
    """Return a stream id as numbers."""
    ms, _, sequence = id_.partition("-")
    return int(ms), int(sequence)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---- what is stored ----


async def test_entries_hold_role_content_tokens_and_other_fields(live: LiveStore, redis_client: Redis) -> None:
    """An entry is r, c, n in this order, and x where there are further fields."""
    where = memory()
    await live.append(where, ("user", "hello", 4), ("assistant", "", 9, '{"name":"x"}'))
    entries: Any = await redis_client.xrange(where.keys.log)
    assert [list(fields.items()) for _, fields in entries] == [
        [(b"r", b"user"), (b"c", b"hello"), (b"n", b"4")],
        [(b"r", b"assistant"), (b"c", b""), (b"n", b"9"), (b"x", b'{"name":"x"}')],
    ]


async def test_totals_are_those_of_the_log(live: LiveStore, redis_client: Redis) -> None:
    """Each append answers the totals right after it, and they are the stored ones."""
    where = memory()
    first = await live.append(where, ("user", "a", 4), ("assistant", "b", 5))
    second = await live.append(where, ("user", "c", 6))
    assert (first.appended, first.messages, first.tokens) == (2, 2, 9)
    assert (second.appended, second.messages, second.tokens) == (1, 3, 15)
    found = seen(redis_client, where)
    assert await found.ids() == [first.first_id, first.last_id, second.first_id]
    assert second.first_id == second.last_id
    await found.assert_totals()


async def test_instructions_are_kept(live: LiveStore, redis_client: Redis) -> None:
    """System and developer messages are members of keep, scored by their time, with totals of their own."""
    where = memory()
    await live.append(where, *talk(2), ("system", "be kind", 10), ("tool", "42", 3))
    await live.append(where, ("developer", "be brief", 20), *talk(1))
    found = seen(redis_client, where)
    ids = await found.ids()
    kept: Any = await redis_client.zrange(where.keys.keep, 0, -1, withscores=True)
    assert {id_.decode(): score for id_, score in kept} == {ids[at]: order(ids[at])[0] for at in (2, 4)}
    meta = await found.meta()
    assert (meta["kept_messages"], meta["kept_tokens"]) == ("2", "30")


async def test_without_instructions_there_is_no_keep(live: LiveStore, redis_client: Redis) -> None:
    """A memory of ordinary messages has neither the set nor its totals."""
    where = memory()
    await live.append(where, *talk(3))
    assert await redis_client.exists(where.keys.keep) == 0
    assert "kept_messages" not in await seen(redis_client, where).meta()


async def test_the_first_append_makes_the_memory(live: LiveStore, redis_client: Redis) -> None:
    """Epoch, time of creation and encoding are set once; the time of the last change moves on."""
    where = memory()
    before_us = time.time_ns() // 1_000
    await live.append(where, *talk(1))
    first = await seen(redis_client, where).meta()
    assert before_us <= int(first["epoch"]) <= time.time_ns() // 1_000
    assert int(first["created"]) == int(first["updated"]) == int(first["epoch"]) // 1_000
    assert first["encoding"] == ENCODING
    await redis_client.hset(where.keys.meta, "updated", "1")
    await live.append(where, *talk(1))
    second = await seen(redis_client, where).meta()
    assert [second[name] for name in ("epoch", "created", "encoding")] == [
        first[name] for name in ("epoch", "created", "encoding")
    ]
    assert int(second["updated"]) >= int(first["updated"])


async def test_the_life_of_all_keys_is_extended(live: LiveStore, redis_client: Redis) -> None:
    """With a life time every append sets it anew on log, meta and keep, but not on the outbox."""
    where = memory(SHORT)
    keys = (where.keys.log, where.keys.meta, where.keys.keep)
    await live.append(where, ("system", "be kind", 10), *talk(1))
    for key in keys:
        assert HOUR_MS - 60_000 < await redis_client.pttl(key) <= HOUR_MS
        await redis_client.pexpire(key, 5_000)
    await redis_client.zadd(where.keys.due, {"another": 1})
    await live.append(where, *talk(1))
    for key in keys:
        assert HOUR_MS - 60_000 < await redis_client.pttl(key) <= HOUR_MS
    assert await redis_client.pttl(where.keys.due) == -1


async def test_all_keys_end_in_the_same_millisecond(live: LiveStore, redis_client: Redis) -> None:
    """No key of a memory outlives another one, or an append in between would find totals without their log."""
    memories = [memory(SHORT, str(number)) for number in range(2_000)]
    await asyncio.gather(*(live.start(where, [("system", "be kind", 10)]) for where in memories))
    async with redis_client.pipeline(transaction=True) as pipeline:
        for where in memories:
            for key in (where.keys.log, where.keys.meta, where.keys.keep, where.keys.log):
                pipeline.pttl(key)
        left = await pipeline.execute()
    rows = [left[at : at + 4] for at in range(0, len(left), 4)]
    undisturbed = [row for row in rows if row[0] == row[3]]  # Redis's clock did not move on while it answered
    assert len(undisturbed) > 1_000
    assert all(len(set(row)) == 1 for row in undisturbed)


async def test_without_a_life_time_nothing_expires(live: LiveStore, redis_client: Redis) -> None:
    """A memory without a life time stays for ever."""
    where = memory(ENDLESS)
    await live.append(where, ("system", "be kind", 10), *talk(1))
    for key in (where.keys.log, where.keys.meta, where.keys.keep):
        assert await redis_client.pttl(key) == -1


CONTENTS = [
    pytest.param("", id="empty"),
    pytest.param("a\x00b\x00", id="NUL"),
    pytest.param("a\r\nb\r\n\r\n", id="line ends"),
    pytest.param("$5\r\nhello\r\n*1\r\n", id="the wire format itself"),
    pytest.param("Grüße, 世界 👩‍👩‍👧", id="beyond ASCII"),
    pytest.param("%s %d %%", id="format directives"),
    pytest.param("x" * 3_000_000, id="3 MB"),
]


@pytest.mark.parametrize("content", CONTENTS)
async def test_content_comes_back_as_it_was(live: LiveStore, content: str) -> None:
    """Any text is stored and read byte for byte."""
    where = memory()
    await live.append(where, ("user", content, 4), ("user", "next", 4, '{"name":"a\\u0000b"}'))
    messages = (await live.read(where)).messages
    assert [(message.content, message.fields) for message in messages] == [
        (content, None),
        ("next", '{"name":"a\\u0000b"}'),
    ]


async def test_a_thousand_messages_in_one_request(live: LiveStore, redis_client: Redis) -> None:
    """A request of many messages is stored in order, with strictly increasing ids."""
    where = memory()
    entries = [*talk(1_000, tokens=3), ("system", "be kind", 10)]
    result = await live.append(where, *entries)
    found = await seen(redis_client, where).messages()
    assert [(message.role, message.content, message.tokens) for message in found] == [entry[:3] for entry in entries]
    assert (result.first_id, result.last_id) == (found[0].id, found[-1].id)
    assert (result.messages, result.tokens) == (1_001, 3_010)
    numbers = [order(message.id) for message in found]
    assert numbers == sorted(set(numbers))


async def test_ids_increase_although_the_clock_steps_back(live: LiveStore, redis_client: Redis) -> None:
    """After a message from the future the next ones still come later, and keep knows them by their ids."""
    where = memory()
    future = now_ms() + 10 * HOUR_MS
    await redis_client.xadd(where.keys.log, {"r": "user", "c": "future", "n": "1"}, id=f"{future}-7")
    result = await live.append(where, ("user", "a", 4), ("system", "b", 5))
    assert [result.first_id, result.last_id] == [f"{future}-8", f"{future}-9"]
    assert await redis_client.zscore(where.keys.keep, f"{future}-9") == future


# ---- when a flush is due ----

THRESHOLDS = [
    pytest.param(DUE, [800], 0, "none", id="tokens: at the threshold"),
    pytest.param(DUE, [801], 0, "due", id="tokens: just above"),
    pytest.param(DUE, [400, 401], 0, "due", id="tokens: together above"),
    pytest.param(DUE, [700], 100, "none", id="tokens: at the threshold with the summary"),
    pytest.param(DUE, [700], 101, "due", id="tokens: above with the summary"),
    pytest.param(MANY, [1] * 8, 0, "none", id="messages: at the threshold"),
    pytest.param(MANY, [1] * 9, 0, "due", id="messages: just above"),
    pytest.param(ENDLESS, [10_000_000] * 9, 10_000_000, "none", id="no limits"),
]


@pytest.mark.parametrize(("definition", "weights", "summary_tokens", "flush"), THRESHOLDS)
async def test_a_flush_is_due_above_the_threshold(
    live: LiveStore, redis_client: Redis, definition: Definition, weights: list[int], summary_tokens: int, flush: str
) -> None:
    """The mark is set exactly if the totals, the summary included, are above a threshold."""
    where = memory(definition)
    if summary_tokens:
        await redis_client.hset(where.keys.meta, "summary_tokens", summary_tokens)
    result = await live.append(where, *[("user", "", weight) for weight in weights])
    marked = flush == "due"
    assert result.flush == flush
    assert await seen(redis_client, where).marked() is marked
    assert live.due == [where] * marked
    assert (await seen(redis_client, where).meta()).get("generation") == ("1" if marked else None)


async def test_the_mark_tells_of_which_trace(live: LiveStore) -> None:
    """It is that of the append that set it, or of one that left together with it."""
    where = memory(DUE)
    appends = [
        live.start(where, [("user", "", tokens)], trace=trace)
        for tokens, trace in ((1, "alone"), (1, ""), (900, ""), (1, "batch"), (1, "later"))
    ]
    await asyncio.gather(*appends)
    assert live.due == [where]
    assert live.traces == ["batch"]


async def test_the_mark_tells_since_when(live: LiveStore, redis_client: Redis) -> None:
    """The outbox holds the first time above the threshold; later appends raise the generation and announce nothing."""
    where = memory(DUE)
    before = now_ms()
    await live.append(where, ("user", "", 801))
    since = await score(redis_client, where.keys.due, where.keys.name)
    assert before <= since <= now_ms()
    await redis_client.zadd(where.keys.due, {where.keys.name: 5})
    assert (await live.append(where, *talk(1))).flush == "due"
    assert await redis_client.zscore(where.keys.due, where.keys.name) == 5
    assert live.due == [where]
    assert (await seen(redis_client, where).meta())["generation"] == "2"


async def test_a_mark_that_was_taken_is_set_again(live: LiveStore, redis_client: Redis) -> None:
    """Once a flush has removed the mark, the next append above the threshold sets and announces it anew."""
    where = memory(DUE)
    await live.append(where, ("user", "", 801))
    await redis_client.zrem(where.keys.due, where.keys.name)
    await live.append(where, *talk(1))
    assert await seen(redis_client, where).marked()
    assert live.due == [where, where]


@pytest.mark.parametrize(("weight", "marked"), [(10, False), (801, True)])
async def test_a_running_flush_is_told(live: LiveStore, redis_client: Redis, weight: int, marked: bool) -> None:
    """While a lease is held the answer is `running`, whether or not the memory is due again; after it, as usual."""
    where = memory(DUE)
    await redis_client.hset(where.keys.meta, "flush_until", now_ms() + 60_000)
    assert (await live.append(where, ("user", "", weight))).flush == "running"
    assert await seen(redis_client, where).marked() is marked
    await redis_client.hset(where.keys.meta, "flush_until", now_ms() - 1)
    assert (await live.append(where, ("user", "", 1))).flush == ("due" if marked else "none")


# ---- batches ----


async def test_each_request_of_a_batch_has_its_own_answer(live: LiveStore, redis_client: Redis) -> None:
    """Requests that leave together are told their own ids, and the totals right after them."""
    where = memory()
    sizes = [1, 3, 1, 2, 40]
    waiting = [live.start(where, talk(size, tokens=2)) for size in sizes]
    results = await asyncio.gather(*waiting)
    ids = await seen(redis_client, where).ids()
    done = 0
    for size, result in zip(sizes, results, strict=True):
        total = done + size
        assert result == AppendResult(ids[done], ids[total - 1], size, total, 2 * total, "none")
        done = total
    meta = await seen(redis_client, where).meta()
    assert meta["op:a"].startswith("2:")  # the first one left alone, the others together


async def test_the_batch_decides_for_all_of_its_requests(live: LiveStore) -> None:
    """Whether a flush is due is asked once, after the whole batch, and announced once."""
    where = memory(DUE)
    results = await asyncio.gather(*(live.start(where, [("user", "", 300)]) for _ in range(5)))
    assert [result.flush for result in results if isinstance(result, AppendResult)] == ["none"] + ["due"] * 4
    assert live.due == [where]


async def test_a_batch_sent_twice_is_stored_once(live: LiveStore, redis_client: Redis) -> None:
    """The same number again stores nothing and has the same answer; the next number is stored."""
    where = memory(DUE)
    entries: list[Entry] = [("system", "a", 500), ("user", "b", 500)]
    first = await live.append_script(where, 1, entries)
    state = await seen(redis_client, where).state()
    assert await live.append_script(where, 1, entries) == first
    assert await seen(redis_client, where).state() == state
    second = await live.append_script(where, 2, entries)
    assert second != first
    assert [message.content for message in await seen(redis_client, where).messages()] == ["a", "b", "a", "b"]
    await seen(redis_client, where).assert_totals()
    assert (await seen(redis_client, where).meta())["generation"] == "2"


async def test_the_same_number_of_another_process_is_another_batch(live: LiveStore, redis_client: Redis) -> None:
    """Numbers of different processes do not meet."""
    where = memory()
    await live.append_script(where, 1, talk(1), op="op:y")
    await live.append_script(where, 1, talk(1), op="op:z")
    assert len(await seen(redis_client, where).ids()) == 2


async def test_a_batch_that_was_overtaken_is_refused(live: LiveStore, redis_client: Redis) -> None:
    """A batch that arrives after a later one of its process stores nothing, so the later one stays recognisable."""
    where = memory()
    await live.append_script(where, 9, talk(1))
    later = await live.append_script(where, 10, talk(1))
    state = await seen(redis_client, where).state()
    with pytest.raises(RedisRefused, match="nothing was stored"):
        await live.append_script(where, 9, talk(1))
    assert await live.append_script(where, 10, talk(1)) == later
    assert await seen(redis_client, where).state() == state


async def test_another_encoding_is_refused(live: LiveStore, redis_client: Redis) -> None:
    """A memory counted with one encoding takes no counts of another, and says which one it has."""
    where = memory(DUE)
    await live.append(where, *talk(1))
    state = await seen(redis_client, where).state()
    assert await live.start(where, [("user", "", 5_000)], encoding="letters") == EncodingDiffers(ENCODING)
    assert await seen(redis_client, where).state() == state
    assert live.due == []


async def test_processes_that_are_gone_are_forgotten(live: LiveStore, redis_client: Redis) -> None:
    """A process that writes for the first time drops what others left behind over an hour ago, or in another form."""
    where = memory()
    await live.append_script(where, 1, talk(1), op="op:first")
    old, recent = now_ms() - HOUR_MS - 1_000, now_ms() - HOUR_MS + 60_000
    left = {"op:old": f"7:{old}:none 0", "op:recent": f"7:{recent}:none 0", "op:odd": "?"}
    await change(redis_client, where, {**left, "opus": "no operation"})
    await live.append(where, *talk(1))
    meta = await seen(redis_client, where).meta()
    assert {name for name in meta if name.startswith("op")} == {"op:first", "op:recent", "op:a", "opus"}
    await seen(redis_client, where).assert_totals()


@pytest.mark.parametrize("key", ["log", "meta", "keep", "due"])
async def test_a_foreign_key_stops_the_append_before_it_begins(live: LiveStore, redis_client: Redis, key: str) -> None:
    """A key of another type in the memory's place is an error of Redis, and nothing at all is stored."""
    where = memory(DUE)
    foreign = getattr(where.keys, key)
    await redis_client.set(foreign, "mine")
    with pytest.raises(RedisRefused) as refused:
        await live.append(where, ("user", "a", 800), ("system", "b", 1))
    assert "WRONGTYPE" in refused.value.reply()
    assert await redis_client.keys() == [foreign.encode()]
    assert await redis_client.get(foreign) == b"mine"
    assert live.due == []


async def test_a_refused_append_does_not_hold_up_the_next(live: LiveStore, redis_client: Redis) -> None:
    """After an error the memory takes appends again, those that waited meanwhile included."""
    where = memory()
    await redis_client.set(where.keys.log, "mine")
    first, second = live.start(where, talk(1)), live.start(where, talk(1))
    with pytest.raises(RedisRefused):
        await first
    with pytest.raises(RedisRefused):
        await second
    await redis_client.delete(where.keys.log)
    assert (await live.append(where, *talk(1))).messages == 1
