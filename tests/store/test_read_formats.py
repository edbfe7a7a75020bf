"""Reads as clients get them, at every budget: whole units, never too much, and requests that the APIs take."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from anthropic.types import MessageParam, TextBlockParam
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from redis.asyncio import Redis

from sidecar.commands.read import render
from sidecar.memory.addressing import Memory
from sidecar.memory.reading import Reading
from sidecar.memory.requests import Format, ReadRequest
from sidecar.memory.results import ReadResult
from tests.commands.rules import hold_order, hold_pairs, hold_texts
from tests.commands.schemas import check
from tests.store.crafting import craft, facts, shown
from tests.store.histories import SETTINGS, histories, orphans
from tests.store.live import LiveStore
from tests.store.model import Answer, Id, Question, Stored, Unit, answer, units

SUMMARY_TOKENS = 7
FEW = settings(SETTINGS, max_examples=12)
"""Each example is some hundred reads."""

BOUNDS = st.none() | st.none() | st.tuples(st.just(1), st.integers(0, 41))
OPTIONS = st.builds(
    Question,
    most=st.none() | st.none() | st.integers(1, 12),
    since=BOUNDS,
    before=BOUNDS,
    roles=st.sampled_from([(), (), (), ("user", "assistant"), ("assistant", "tool"), ("tool",), ("system",)]),
    with_summary=st.booleans(),
)


def every_budget(log: list[Stored]) -> range:
    """From 1 to all that there is, summary included, and one more."""
    return range(1, sum(message.tokens for message in log) + SUMMARY_TOKENS + 2)


async def read(live: LiveStore, where: Memory, question: Question, format_: Format = "resp") -> ReadResult:
    """Read as MEMREAD does, up to the reply."""
    request = ReadRequest(
        where,
        tokens=question.tokens,
        count=question.most,
        since=_shown(question.since),
        before=_shown(question.before),
        roles=question.roles,
        with_summary=question.with_summary,
        format=format_,
        touch=False,
    )
    reading = Reading(store=live.store, counter=lambda _: len, watches=live.wakeups, tally=live.tally)
    result: ReadResult = await live.sent(lambda done: reading.read(request, done))
    return result


def _shown(id_: Id | None) -> str | None:
    return None if id_ is None else shown(id_)


@FEW
@given(log=histories(), options=OPTIONS)
async def test_options_at_every_budget(
    live: LiveStore, redis_client: Redis, log: list[Stored], options: Question
) -> None:
    """With COUNT, SINCE, BEFORE, ROLE and NOSUMMARY, at every budget: no orphan, never above it, as the model says."""
    where = await craft(redis_client, log, SUMMARY_TOKENS)
    questions = [replace(options, tokens=budget) for budget in every_budget(log)]
    results = await asyncio.gather(*(read(live, where, question) for question in questions))
    for question, result in zip(questions, results, strict=True):
        found = facts(result)
        assert found == _said(log, question)
        assert result.tokens <= (question.tokens or 0)
        assert not orphans(log, found.ids, question.since)
        assert question.roles == () or {message.role for message in result.messages} <= set(question.roles)


@FEW
@given(log=histories())
async def test_openai_at_every_budget(live: LiveStore, redis_client: Redis, log: list[Stored]) -> None:
    """FORMAT OPENAI is of the published types at every budget, with every call's results right behind it."""
    where = await craft(redis_client, log, SUMMARY_TOKENS)
    for made in await _written(live, where, log, "openai"):
        check(made, list[ChatCompletionMessageParam])
        hold_order(made)


@FEW
@given(log=histories())
async def test_anthropic_at_every_budget(live: LiveStore, redis_client: Redis, log: list[Stored]) -> None:
    """FORMAT ANTHROPIC is of the published types at every budget, and keeps the rules of turns, texts and results."""
    where = await craft(redis_client, log, SUMMARY_TOKENS)
    for made in await _written(live, where, log, "anthropic"):
        check(made.get("system", []), list[TextBlockParam])
        check(made["messages"], list[MessageParam])
        hold_texts(made)
        hold_pairs([message["content"] for message in made["messages"]])


def _said(log: list[Stored], question: Question) -> Answer:
    """What the model says; but results cannot be still to come where later messages are not asked for."""
    said = answer(log, SUMMARY_TOKENS, question)
    if question.since is not None or not (question.before or question.roles):
        return said
    whole = units(log)
    ids = [id_ for id_ in said.ids if _answered(whole[id_])]
    return replace(said, ids=ids, left_out=said.left_out + len(said.ids) - len(ids))


def _answered(unit: Unit) -> bool:
    return {*unit.members[0].calls} <= {member.answers for member in unit.members}


async def _written(live: LiveStore, where: Memory, log: list[Stored], format_: Format) -> list[Any]:
    """Return the different JSON values that the budgets come to; most are those of the budget before."""
    results = await asyncio.gather(*(read(live, where, Question(budget), format_) for budget in every_budget(log)))
    texts: dict[Any, None] = dict.fromkeys(render(result) for result in results)
    return [json.loads(text) for text in texts]


@SETTINGS
@given(log=histories(), options=OPTIONS, budget=st.none() | st.integers(0, 400))
async def test_formats_with_options(
    live: LiveStore, redis_client: Redis, log: list[Stored], options: Question, budget: int | None
) -> None:
    """Also with COUNT, SINCE, BEFORE and ROLE, with a budget or without, both formats are what the APIs take."""
    where = await craft(redis_client, log, SUMMARY_TOKENS)
    question = replace(options, tokens=budget)
    opened: Any = render(await read(live, where, question, "openai"))
    check(json.loads(opened), list[ChatCompletionMessageParam])
    made = json.loads(render(await read(live, where, question, "anthropic")))  # type: ignore[arg-type] # it is text
    check(made["messages"], list[MessageParam])
    hold_texts(made)
    if question.since is None:  # who goes on from an id has the calls up to there already
        hold_order(json.loads(opened))
        hold_pairs([message["content"] for message in made["messages"]])
