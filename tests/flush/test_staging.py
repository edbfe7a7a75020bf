"""The staged form of a plan."""

from __future__ import annotations

import json

from sidecar.flush.staging import StagedRange, decode, encode, stage
from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import IdRange, Plan

FACTS = [MessageFacts(f"{number}-0", "user", 10) for number in range(1, 11)]


def _plan(*ranges: IdRange) -> Plan:
    removed, freed = sum(part.messages for part in ranges), sum(part.tokens for part in ranges)
    return Plan("fifo", ranges, removed, freed, summarise=True, reached=False)


def test_only_ranges_behind_the_head_carry_ids() -> None:
    """The head is trimmed by its last id; what lies behind a message that stays is named id by id."""
    plan = _plan(IdRange("1-0", "3-0", 3, 30), IdRange("5-0", "6-0", 2, 20))
    staged = stage(plan, FACTS, summary_budget=100, messages=10, tokens=100)
    assert staged.ranges == [StagedRange("1-0", "3-0", 3), StagedRange("5-0", "6-0", 2, ["5-0", "6-0"])]
    assert (staged.drift_messages, staged.drift_tokens) == (0, 0)
    assert decode(encode(staged)) == staged


def test_the_json_has_no_null() -> None:
    """What is absent is left out."""
    staged = stage(_plan(IdRange("1-0", "3-0", 3, 30)), FACTS, summary_budget=100, messages=10, tokens=100)
    assert json.loads(encode(staged)) == {
        "strategy": "fifo",
        "removed": 3,
        "freed_tokens": 30,
        "summarise": True,
        "reached": False,
        "summary_budget": 100,
        "drift_messages": 0,
        "drift_tokens": 0,
        "ranges": [{"first": "1-0", "last": "3-0", "messages": 3}],
        "shortened": [],
        "rebuild": False,
    }


def test_wrong_totals_are_a_drift() -> None:
    """What the log holds more or less than the totals said is part of the plan."""
    staged = stage(_plan(), FACTS, summary_budget=100, messages=12, tokens=70)
    assert (staged.drift_messages, staged.drift_tokens, staged.ranges) == (-2, 30, [])
