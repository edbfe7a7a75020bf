"""The plan as it waits on Redis for its commit, and afterwards for an undo. Read by `removal` and `undo`.

JSON of ranges. A range at the head of the log is trimmed by its last id alone. Any other range carries its
ids, because Redis can delete entries only by id; unless there are so many that the log is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import Plan

MOST_IDS = 1_000
"""Messages that a commit deletes one by one: 2 ms of Redis's one thread. For more, the log is made anew."""

MOST_TRIMMED = 20_000
"""Messages that a commit trims at the head of the log: 1.5 ms. For more, the log is made anew."""


class StagedForm(msgspec.Struct, frozen=True):
    """A message that stays in a shorter form of at most `most_tokens`."""

    id: str
    most_tokens: int


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
        shortened: what stays in a shorter form.
        rebuild: whether the log is made anew, instead of removing what goes in place.
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
    shortened: list[StagedForm] = []
    rebuild: bool = False


def stage(plan: Plan, facts: Sequence[MessageFacts], *, summary_budget: int, messages: int, tokens: int) -> StagedPlan:
    """Return the plan in the form that waits.

    Args:
        plan: made from `facts`.
        facts: every message of the snapshot, oldest first.
        summary_budget: most tokens of the summary as a message.
        messages, tokens: what `meta` said that the snapshot holds.
    """
    position = {fact.id: at for at, fact in enumerate(facts)} if plan.ranges else {}
    rebuild = _is_large(plan, facts)
    ranges = []
    for part in plan.ranges:
        start = position[part.first]
        ids = [fact.id for fact in facts[start : start + part.messages]] if start and not rebuild else None
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
        shortened=[StagedForm(each.id, each.most_tokens) for each in plan.shortened],
        rebuild=rebuild,
    )


def _is_large(plan: Plan, facts: Sequence[MessageFacts]) -> bool:
    """Whether the log is to be made anew: an entry cannot be shortened in place, and many cannot go at once."""
    at_head = plan.ranges[0].messages if plan.ranges and plan.ranges[0].first == facts[0].id else 0
    in_pieces = at_head > MOST_TRIMMED or plan.removed - at_head > MOST_IDS
    return bool(plan.shortened) or (plan.removed > 0 and in_pieces)


def encode(plan: StagedPlan) -> bytes:
    """Return the JSON."""
    return msgspec.json.encode(plan)


def decode(staged: bytes) -> StagedPlan:
    """Undo `encode`."""
    return msgspec.json.decode(staged, type=StagedPlan)
