"""`read.lua` and tool calls: a call and its results are returned together or not at all, at every budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import OverBudget
from sidecar.memory.definition import Definition
from sidecar.memory.requests import ReadRequest
from tests.store.crafting import ask, craft, facts
from tests.store.histories import SETTINGS, histories, orphans
from tests.store.live import LiveStore
from tests.store.model import Id, Question, Stored, answer, units

SHARED = Definition("shared", max_tokens=None, token_allocation={"system": 0.3, "long_term": 0.2, "facts": 0.25})
"""Shares for what is kept, for the summary and for a class."""


@SETTINGS
@given(log=histories(), summary_tokens=st.sampled_from([0, 7]))
async def test_every_budget(live: LiveStore, redis_client: Redis, log: list[Stored], summary_tokens: int) -> None:
    """At every budget from 1 up: no orphan in either direction, never above it, and the newest unit that fits."""
    where = await craft(redis_client, log, summary_tokens)
    budgets = range(1, sum(message.tokens for message in log) + summary_tokens + 2)
    results = await asyncio.gather(*(ask(live, where, Question(budget)) for budget in budgets))
    for budget, result in zip(budgets, results, strict=True):
        found = facts(result)
        assert found == answer(log, summary_tokens, Question(budget))
        assert result.tokens <= budget
        assert not orphans(log, found.ids)
        assert set(newest_that_fits(log, found.ids, budget - found.summary_tokens)) <= set(found.ids)


def newest_that_fits(log: Sequence[Stored], returned: Sequence[Id], room: int) -> list[Id]:
    """Return the newest unit that fits into what instructions and pins have left."""
    whole = units(log)
    kept = {member.id for message in log if message.kept for member in whole[message.id].members}
    room -= sum(message.tokens for message in log if message.id in kept and message.id in returned)
    for message in reversed(log):
        unit = whole[message.id]
        if message.id not in kept and unit.whole and unit.tokens <= room:
            return [member.id for member in unit.members]
    return []


@SETTINGS
@given(
    log=histories(),
    questions=st.lists(
        st.builds(
            Question,
            tokens=st.none() | st.integers(0, 300),
            most=st.none() | st.integers(1, 12),
            since=st.none() | st.none() | st.tuples(st.just(1), st.integers(0, 40)),
            before=st.none() | st.none() | st.tuples(st.just(1), st.integers(0, 41)),
            roles=st.sampled_from([(), (), ("user", "assistant"), ("assistant", "tool"), ("tool",)]),
        ),
        min_size=1,
        max_size=10,
    ),
)
async def test_every_question(
    live: LiveStore, redis_client: Redis, log: list[Stored], questions: list[Question]
) -> None:
    """With counts, bounds and roles too, a read returns what the model says."""
    where = await craft(redis_client, log)
    for question in questions:
        assert facts(await ask(live, where, question)) == answer(log, 0, question)


@SETTINGS
@given(log=histories(), budget=st.integers(0, 400))
async def test_shares(live: LiveStore, redis_client: Redis, log: list[Stored], budget: int) -> None:
    """No class, and neither summary nor what is kept, takes more than its share of a budget."""
    where = await craft(redis_client, log, 20, SHARED)
    result = await ask(live, where, Question(budget))
    kinds = {f"{message.id[0]}-{message.id[1]}": message for message in log}
    returned = [kinds[message.id] for message in result.messages]
    whole = units(log)
    kept = {member.id for message in log if message.kept for member in whole[message.id].members}
    assert bool(result.summary) == (int(budget * 0.2) >= 20)
    assert sum(message.tokens for message in returned if message.id in kept) <= int(budget * 0.3)
    facts_ = [message for message in returned if message.kind == "facts" and message.id not in kept]
    assert sum(message.tokens for message in facts_) <= int(budget * 0.25)
    assert not orphans(log, [message.id for message in returned])


UNIT = [
    Stored((1, 1), "user", 10),
    Stored((1, 2), "assistant", 50, calls=("a", "b")),
    Stored((1, 3), "tool", 60, answers="b"),
    Stored((1, 4), "user", 5),
    Stored((1, 5), "tool", 7, answers="a"),
]


@pytest.mark.parametrize(
    ("budget", "found"),
    [
        (4, []),
        (5, [4]),
        (14, [4]),
        (15, [1, 4]),
        (116, [1, 4]),
        (117, [2, 3, 5]),
        (121, [2, 3, 5]),
        (122, [2, 3, 4, 5]),
        (132, [1, 2, 3, 4, 5]),
    ],
)
async def test_a_unit_that_is_interrupted(live: LiveStore, redis_client: Redis, budget: int, found: list[int]) -> None:
    """A unit counts from its newest message, and takes its place whole; what stands between keeps its own."""
    where = await craft(redis_client, UNIT)
    result = await ask(live, where, Question(budget))
    assert [message.id for message in result.messages] == [f"1-{place}" for place in found]


@pytest.mark.parametrize("mode", ["truncate", "error"])
async def test_oversize(live: LiveStore, redis_client: Redis, mode: str) -> None:
    """A unit above a whole budget is returned apart, to be cut, with the room that is left; or it is an error."""
    where = await craft(redis_client, [*UNIT[:3], Stored((1, 4), "tool", 7, answers="a"), Stored((1, 5), "user", 5)])
    request = ReadRequest(where, tokens=100, oversize="truncate" if mode == "truncate" else "error")
    if mode == "error":
        with pytest.raises(OverBudget, match=r"message 1-4 .* has 117 tokens, and 100 are left"):
            await live.find(request)
        return
    found = await live.find(request)
    assert [message.id for message in found.result.messages] == ["1-5"]
    assert ([message.id for message in found.cut], found.cut_room) == (["1-2", "1-3", "1-4"], 95)


async def test_an_instruction_above_the_budget(live: LiveStore, redis_client: Redis) -> None:
    """Under ERROR an instruction that alone exceeds the budget is one too; it is never cut."""
    where = await craft(redis_client, [Stored((1, 1), "system", 500), Stored((1, 2), "user", 5)])
    with pytest.raises(OverBudget, match="message 1-1 "):
        await live.find(ReadRequest(where, tokens=100, oversize="error"))
    found = await live.find(ReadRequest(where, tokens=100, oversize="truncate"))
    assert [message.id for message in found.result.messages] == ["1-2"]
    assert (found.result.left_out, found.cut) == (1, [])
