"""`read.lua`: which part of a memory a read returns, held against a model in Python; and what the read costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.results import ReadResult
from tests.flush.memories import talk
from tests.store.crafting import ask, craft, facts, numbered
from tests.store.live import SHORT, LiveStore, change, memory
from tests.store.model import MAX_SKIPPED, Question, Stored, answer

HOUR_MS = 3_600_000
PAGE = 64
"""As read.lua has it."""


@st.composite
def logs(draw: st.DrawFn) -> list[Stored]:
    """Conversations around the size of a page, many messages to a millisecond, some of them large."""
    weight = st.one_of(st.integers(3, 12), st.integers(3, 12), st.integers(60, 400))
    role = st.sampled_from(["user", "assistant", "user", "tool", "assistant", "user", "system", "developer"])
    steps = st.sampled_from([0, 0, 0, 0, 0, 1])
    found: list[Stored] = []
    ms = sequence = 0
    least = draw(st.sampled_from([0, 5, PAGE - 1, PAGE, 2 * PAGE]))
    for step, name, tokens in draw(st.lists(st.tuples(steps, role, weight), min_size=least, max_size=160)):
        ms, sequence = (ms + 1, 0) if step else (ms, sequence + 1)
        found.append(Stored((ms, sequence), name, tokens))
    return found


@st.composite
def questions(draw: st.DrawFn) -> Question:
    return Question(
        tokens=draw(st.none() | st.integers(0, 200) | st.integers(0, 1_500)),
        most=draw(st.none() | st.integers(1, 6) | st.integers(1, 170)),
        since=draw(st.none() | st.tuples(st.integers(0, 5), st.integers(0, 20))),
        with_summary=draw(st.booleans()),
        before=draw(st.none() | st.none() | st.tuples(st.integers(0, 12), st.integers(0, 20))),
        roles=draw(st.sampled_from([(), (), (), ("user",), ("assistant", "tool"), ("system", "user")])),
    )


@settings(
    max_examples=150,
    deadline=None,
    # The Redis is shared by all examples on purpose: each has a memory of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(log=logs(), summary_tokens=st.sampled_from([0, 0, 7, 90]), asked=st.lists(questions(), min_size=1, max_size=8))
async def test_a_read_returns_what_the_model_says(
    live: LiveStore, redis_client: Redis, log: list[Stored], summary_tokens: int, asked: list[Question]
) -> None:
    """Whatever is stored and asked for, a read returns the model's messages, in order, and never above the budget."""
    where = await craft(redis_client, log, summary_tokens)
    for question in asked:
        result = await ask(live, where, question)
        assert facts(result) == answer(log, summary_tokens, question)
        assert result.total_messages == len(log)
        if question.tokens is not None:
            assert result.tokens <= question.tokens


# ---- the rules, one by one ----


@pytest.mark.parametrize(("tokens", "fits"), [(6, False), (7, True), (None, True)])
async def test_a_summary_within_the_budget_where_no_message_can_be(
    live: LiveStore, redis_client: Redis, tokens: int | None, fits: bool
) -> None:
    """Nothing lies before the first id, and what is left, the summary, is held to the budget too."""
    where = await craft(redis_client, numbered(10), 7)
    question = Question(tokens=tokens, most=None, since=None, with_summary=True, before=(0, 0), roles=())
    result = await ask(live, where, question)
    assert (result.messages, result.tokens) == ([], 7 if fits else 0)


COUNTS = [
    pytest.param(None, None, [0, 1, 2, 3, 4], False, id="everything"),
    pytest.param(2, None, [3, 4], True, id="the newest"),
    pytest.param(5, None, [0, 1, 2, 3, 4], False, id="as many as there are"),
    pytest.param(None, "5-1", [2, 3, 4], False, id="after an id"),
    pytest.param(2, "5-1", [2, 3], True, id="the oldest after an id"),
    pytest.param(3, "5-1", [2, 3, 4], False, id="all after an id"),
    pytest.param(2, "5-4", [], False, id="after the last one"),
]


@pytest.mark.parametrize(("most", "since", "found", "more"), COUNTS)
async def test_count_and_since(
    live: LiveStore, redis_client: Redis, most: int | None, since: str | None, found: list[int], more: bool
) -> None:
    """COUNT gives the newest, after SINCE the oldest, and tells whether that is all."""
    where = await craft(redis_client, numbered(10, 20, 30, 40, 50))
    result = await live.read(where, most=most, since=since)
    assert [message.id for message in result.messages] == [f"5-{at}" for at in found]
    assert result.more is more
    assert (result.total_messages, result.total_tokens) == (5, 150)


async def test_ids_are_in_numeric_order(live: LiveStore) -> None:
    """More than ten messages of one millisecond come in order: …-9 before …-10."""
    where = memory()
    entries = [("system" if at % 3 else "user", str(at), 3) for at in range(120)]
    await live.append(where, *entries)
    for tokens in (None, 100_000):
        messages = (await live.read(where, tokens=tokens)).messages
        assert [message.content for message in messages] == [str(at) for at in range(120)]
    budgeted = (await live.read(where, tokens=3 * 90)).messages
    assert [int(message.content) for message in budgeted if message.role == "system"] == [
        at for at in range(120) if at % 3
    ]
    assert [message.content for message in budgeted if message.role == "user"] == [str(at) for at in range(90, 120, 3)]


async def test_a_budget_is_used_to_the_last_token(live: LiveStore, redis_client: Redis) -> None:
    """Messages that fill the budget exactly are returned; with one token less the oldest of them is not."""
    where = await craft(redis_client, numbered(10, 20, 30, 40))
    full = await live.read(where, tokens=90)
    assert ([message.tokens for message in full.messages], full.tokens, full.more) == ([20, 30, 40], 90, True)
    less = await live.read(where, tokens=89)
    assert ([message.tokens for message in less.messages], less.more) == ([30, 40], True)
    assert not (await live.read(where, tokens=100)).more


async def test_instructions_come_first_in_line(live: LiveStore, redis_client: Redis) -> None:
    """An old instruction takes its share of the budget before any newer message does."""
    log = [*numbered(50, role="system"), *(Stored((6, at), "user", 10) for at in range(20))]
    where = await craft(redis_client, log)
    result = await live.read(where, tokens=75)
    assert [message.tokens for message in result.messages] == [50, 10, 10]
    assert result.more
    assert result.left_out == 0


async def test_what_never_fits_is_passed_over(live: LiveStore, redis_client: Redis) -> None:
    """A message that is larger than the whole share is counted as left out and does not hide older ones."""
    where = await craft(redis_client, numbered(10, 500, 20, 600, 30))
    result = await live.read(where, tokens=100)
    assert [message.tokens for message in result.messages] == [10, 20, 30]
    assert (result.left_out, result.more) == (2, False)


async def test_what_would_fit_ends_the_walk(live: LiveStore, redis_client: Redis) -> None:
    """A message that fits alone, but not beside the newer ones, is where the answer ends: there is no gap."""
    where = await craft(redis_client, numbered(10, 90, 20))
    result = await live.read(where, tokens=100)
    assert [message.tokens for message in result.messages] == [20]
    assert (result.left_out, result.more) == (0, True)


@pytest.mark.parametrize(("oversize", "reached"), [(MAX_SKIPPED, True), (MAX_SKIPPED + 1, False)])
async def test_passing_over_has_an_end(live: LiveStore, redis_client: Redis, oversize: int, reached: bool) -> None:
    """At most MAX_SKIPPED messages are passed over; behind more of them nothing is looked for."""
    where = await craft(redis_client, numbered(10, *[500] * oversize, 20))
    result = await live.read(where, tokens=100)
    assert [message.tokens for message in result.messages] == [10, 20] if reached else [20]
    assert (result.left_out, result.more) == (MAX_SKIPPED, not reached)


async def test_the_summary_is_part_of_the_budget(live: LiveStore, redis_client: Redis) -> None:
    """The summary takes its share before any message, and is dropped where it does not fit, or is not wanted."""
    where = await craft(redis_client, numbered(10, 20, 30), summary_tokens=40)
    both = await live.read(where, tokens=90)
    assert (both.summary, both.summary_tokens) == ("what was said", 40)
    assert [message.tokens for message in both.messages] == [20, 30]
    alone = await live.read(where, tokens=40)
    assert (alone.summary, alone.messages, alone.tokens) == ("what was said", [], 40)
    small = await live.read(where, tokens=39)
    assert (small.summary, [message.tokens for message in small.messages]) == (None, [30])
    unwanted = await live.read(where, tokens=90, with_summary=False)
    assert (unwanted.summary, unwanted.tokens) == (None, 60)


async def test_nothing_is_missing_when_only_instructions_are_older(live: LiveStore, redis_client: Redis) -> None:
    """Where a count is reached and everything older is returned as an instruction, there is no more."""
    where = await craft(redis_client, [Stored((1, 0), "system", 5), *numbered(10, 20)])
    result = await live.read(where, tokens=1_000, most=2)
    assert [message.tokens for message in result.messages] == [5, 10, 20]
    assert not result.more


async def test_an_unknown_memory_is_empty(live: LiveStore, redis_client: Redis) -> None:
    """Reading what does not exist answers nothing, whatever is asked for, and creates nothing."""
    for tokens in (None, 0, 100):
        for most in (None, 3):
            for since in (None, "5-0"):
                result = await live.read(memory(SHORT), tokens=tokens, most=most, since=since, touch=True)
                assert result == ReadResult(None, 0, [], 0, 0, False, 0)
    assert await redis_client.keys() == []


async def test_a_foreign_entry_is_an_error_not_a_hang(live: LiveStore, redis_client: Redis) -> None:
    """A log that somebody else wrote into answers an error that names it, and the connection goes on."""
    where = memory()
    await live.append(where, *talk(1))
    await redis_client.xadd(where.keys.log, {"hello": "world"})
    with pytest.raises(RedisRefused, match=where.keys.log):
        await live.read(where)
    with pytest.raises(RedisRefused):
        await live.read(where, tokens=100)
    assert (await live.info(where)).messages == 1
    assert live.reconnects == 0


# ---- life time ----


async def test_reading_extends_the_life_of_all_keys(live: LiveStore, redis_client: Redis) -> None:
    """A read with touch sets the life time anew on log, meta and keep; one without leaves it as it is."""
    where = memory(SHORT)
    await live.append(where, ("system", "be kind", 10), *talk(3))
    keys = (where.keys.log, where.keys.meta, where.keys.keep)
    for key in keys:
        await redis_client.pexpire(key, 60_000)
    await live.read(where, touch=False)
    assert all([await redis_client.pttl(key) <= 60_000 for key in keys])
    for tokens, most in ((None, None), (30, None), (None, 1)):
        for key in keys:
            await redis_client.pexpire(key, 60_000)
        await live.read(where, tokens=tokens, most=most, touch=True)
        assert all([HOUR_MS - 60_000 < await redis_client.pttl(key) <= HOUR_MS for key in keys])


async def test_reading_a_memory_for_ever_sets_no_end(live: LiveStore, redis_client: Redis) -> None:
    """Without a life time a read with touch changes nothing."""
    where = memory()
    await live.append(where, *talk(3))
    await live.read(where, touch=True)
    assert await redis_client.pttl(where.keys.log) == -1


async def test_a_memory_with_only_a_summary_lives_on(live: LiveStore, redis_client: Redis) -> None:
    """Where a flush has left nothing but the summary, reading extends its life too."""
    where = memory(SHORT)
    await change(redis_client, where, {"messages": 0, "tokens": 0, "summary": "all", "summary_tokens": 4})
    await redis_client.pexpire(where.keys.meta, 60_000)
    assert (await live.read(where, touch=True)).summary == "all"
    assert await redis_client.pttl(where.keys.meta) > HOUR_MS - 60_000


# ---- cost ----


async def executed(redis: Redis, live: LiveStore, where: Memory, **options: Any) -> list[list[str]]:
    """Return the commands that the script of one read runs, without the memory's name."""
    found: list[list[str]] = []
    async with redis.monitor() as monitor:
        await live.read(where, **options)
        await live.sent(live.ping)
        while True:
            line: Any = await monitor.next_command()
            if line["command"] == "PING":
                return found
            if line["client_type"] == "lua":
                found.append([word for word in line["command"].split(" ") if where.keys.name not in word])


@pytest.mark.parametrize("options", [{"tokens": 2_000}, {"most": 50}, {"tokens": 2_000, "most": 20}])
async def test_the_cost_is_that_of_what_is_returned(
    live: LiveStore, redis_client: Redis, options: dict[str, int]
) -> None:
    """Of 20,000 messages a read touches as few as of 1,000: the same commands with the same bounds."""
    entries = talk(999, tokens=20)
    small, large = memory(instance="small"), memory(instance="large")
    await live.append(small, ("system", "be kind", 10), *entries)
    await live.append(large, ("system", "be kind", 10), *entries)
    for _ in range(19):
        await live.append(large, *talk(1_000, tokens=20))
    commands = [await executed(redis_client, live, where, **options) for where in (small, large)]
    ranges = [[words for words in run if "RANGE" in words[0]] for run in commands]
    bounds = [[int(words[words.index("COUNT") + 1]) for words in run if "COUNT" in words] for run in ranges]
    assert [words[0] for words in ranges[0]] == [words[0] for words in ranges[1]]
    assert bounds[0] == bounds[1]
    assert 0 < sum(bounds[1]) <= 50 + 2_000 // 20 + PAGE
    unbounded = [words for words in ranges[1] if "COUNT" not in words and words[0] != "ZRANGE"]
    assert len(unbounded) <= 1  # the one instruction
    assert all(words[1] == words[2] for words in unbounded)
