"""The plan as it waits on Redis for its commit, read by `store/lua/commit.lua`.

JSON of ranges. A range at the head of the log is trimmed by its last id alone. Any other range carries its
ids: Redis can delete entries only by id, and to look them up in the commit would pull every text through Lua,
which takes twice as long as the deletion itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import Plan


class StagedRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Messages that go. `ids` is None for a range at the head of the log; then it is left out of the JSON."""

    first: str
    last: str
    messages: int
    ids: list[str] | None = None


class StagedPlan(msgspec.Struct, frozen=True):
    """What the commit does, and what the summary is made of.

    Args:
        strategy, removed, freed_tokens, summarise, reached, ranges: as in `memory.plan.Plan`.
        summary_budget: most tokens of the summary, counted as a message of the chat format.
        drift_messages, drift_tokens: what the log holds more (less: negative) than `meta` said at the begin.
            Not 0 only after somebody has edited the log past the scripts; the commit puts the totals right.
    """

    strategy: str
    removed: int
    freed_tokens: int
    summarise: bool
    reached: bool
    summary_budget: int
    drift_messages: int
    drift_tokens: int
    ranges: list[StagedRange]


def stage(plan: Plan, facts: Sequence[MessageFacts], *, summary_budget: int, messages: int, tokens: int) -> StagedPlan:
    """Return the plan in the form that waits.

    Args:
        plan: made from `facts`.
        facts: every message of the snapshot, oldest first.
        summary_budget: most tokens of the summary as a message.
        messages, tokens: what `meta` said that the snapshot holds.
    """
    position = {fact.id: at for at, fact in enumerate(facts)} if plan.ranges else {}
    ranges = []
    for part in plan.ranges:
        start = position[part.first]
        ids = [fact.id for fact in facts[start : start + part.messages]] if start else None
        ranges.append(StagedRange(part.first, part.last, part.messages, ids))
    return StagedPlan(
        strategy=plan.strategy,
        removed=plan.removed,
        freed_tokens=plan.freed_tokens,
        summarise=plan.summarise,
        reached=plan.reached,
        summary_budget=summary_budget,
        drift_messages=len(facts) - messages,
        drift_tokens=sum(fact.tokens for fact in facts) - tokens,
        ranges=ranges,
    )


def encode(plan: StagedPlan) -> bytes:
    """Return the JSON."""
    return msgspec.json.encode(plan)


def decode(staged: bytes) -> StagedPlan:
    """Undo `encode`."""
    return msgspec.json.decode(staged, type=StagedPlan)
