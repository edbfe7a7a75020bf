"""What a flush removes and shortens: a pure decision over the facts of a snapshot.

The counterpart is `sidecar.flush.steps`, which reads the facts and carries the plan out; what goes together is said
in `units`, in which order it goes in `strategies`. Nothing here sees a text, a clock or Redis. Three rules hold for
every strategy:

- Instructions (`PROTECTED_ROLES`) and pinned messages stay.
- A message that calls tools and the tool messages that answer it are one *unit*: they go together or stay
  together, because every chat API refuses half of such a pair. A tool message whose call is not in the
  snapshot is a unit of its own. A unit of which one message stays, stays.
- Two more units stay: the *pending* one, whose results are still to come, and the *newest* one. A memory
  compacted in the middle of a turn must still show the agent what it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sidecar.memory.definition import TOOL_RESULT_TOKENS
from sidecar.memory.message import MessageFacts
from sidecar.memory.strategies import STRATEGIES
from sidecar.memory.units import group

__all__ = ["SMALLEST_SUMMARY_TOKENS", "STRATEGIES", "IdRange", "Limits", "Plan", "Shortened", "forced", "make_plan"]

SMALLEST_SUMMARY_TOKENS = 32
"""Ten of these are the role and the heading that a summary is read with; a sentence needs the others."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a plan has to get to.

    Args:
        target_tokens: most tokens afterwards, the summary included; None means no limit.
        target_messages: most messages afterwards, the summary not included; None means no limit.
        summary_tokens: budget of a new summary, counted as a message of the chat format.
        current_summary_tokens: what the present summary weighs; a new one replaces it.
        tool_result_tokens: most tokens that a shortened result of a tool has.
        priorities: of the definition's classes of messages, by name.
    """

    target_tokens: int | None
    target_messages: int | None
    summary_tokens: int
    current_summary_tokens: int
    tool_result_tokens: int = TOOL_RESULT_TOKENS
    priorities: Mapping[str, str] = field(default_factory=dict)

    @property
    def unlimited(self) -> bool:
        """Whether there is no target at all."""
        return self.target_tokens is None and self.target_messages is None


@dataclass(frozen=True, slots=True)
class IdRange:
    """Messages that follow each other in the snapshot: `first` to `last`, both included, and their sums."""

    first: str
    last: str
    messages: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """A message that stays with less of its text: its id, its tokens, and how many it may have afterwards."""

    id: str
    tokens: int
    most_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to remove, and what to shorten.

    Args:
        strategy: the name under which the plan was made.
        ranges: what goes, oldest first; they neither touch nor overlap.
        removed, freed_tokens: sums over `ranges`; the tokens of the present summary are not among them.
        summarise: whether a summary replaces what goes (and the present summary).
        reached: whether the memory is within the target afterwards. False only if nothing more may go.
        shortened: what stays in a shorter form, oldest first; none of them is in `ranges`.
        shortened_tokens: what shortening frees at least; not part of `freed_tokens`.
    """

    strategy: str
    ranges: tuple[IdRange, ...]
    removed: int
    freed_tokens: int
    summarise: bool
    reached: bool
    shortened: tuple[Shortened, ...] = ()
    shortened_tokens: int = 0


def make_plan(strategy: str, facts: Sequence[MessageFacts], limits: Limits) -> Plan:
    """Decide what a flush removes.

    Args:
        strategy: a name in `STRATEGIES`.
        facts: every message of the snapshot, oldest first.
        limits: the target. Without any limit no flush is ever due, so only a forced one gets here: the older
            half of what may go is removed, by number of messages. There is no size to measure tokens against,
            and half by number keeps the newer half of the talk even where one message outweighs all others.

    Raises:
        ValueError: there is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown flush strategy '{strategy}'; use one of: {', '.join(sorted(STRATEGIES))}")
    chosen, units = STRATEGIES[strategy], group(facts)
    order = chosen.order(facts, units.removable, limits.priorities)
    size = _Size.of(facts, order, limits)
    shorter: dict[int, Shortened] = {}
    if chosen.shortens and limits.target_tokens is not None:
        shorter = _shorten(facts, units.current, limits, size)
    gone: list[int] = []
    for unit in order:
        if size.within(limits):
            break
        if chosen.summarises:
            size.summary = limits.summary_tokens  # from the first removal on, a new summary must fit as well
        gone += unit
        size.messages -= len(unit)
        for index in unit:
            short = shorter.pop(index, None)
            size.tokens -= short.most_tokens if short else facts[index].tokens
    ranges = _ranges(facts, sorted(gone))
    return Plan(
        strategy=strategy,
        ranges=ranges,
        removed=len(gone),
        freed_tokens=sum(part.tokens for part in ranges),
        summarise=chosen.summarises and bool(gone),
        reached=size.within(limits),
        shortened=tuple(shorter.values()),
        shortened_tokens=sum(short.tokens - short.most_tokens for short in shorter.values()),
    )


def forced(limits: Limits, facts: Sequence[MessageFacts]) -> Limits:
    """Return the limits of a flush with `FORCE`, which means "compact now", whatever the size.

    The target becomes half of the present tokens where that is less, and the summary takes at most half of
    the target: otherwise a small memory would be replaced by a summary as long as itself. The caller gives
    the returned `summary_tokens` to the summariser, too. Without any limit the targets stay None, and
    `make_plan` halves the messages.
    """
    half = (sum(fact.tokens for fact in facts) + limits.current_summary_tokens) // 2
    target = half if limits.target_tokens is None else min(half, limits.target_tokens)
    return replace(
        limits,
        target_tokens=None if limits.unlimited else target,
        summary_tokens=min(limits.summary_tokens, max(target // 2, SMALLEST_SUMMARY_TOKENS)),
    )


@dataclass(slots=True)
class _Size:
    """How large the memory is at a point of the planning; `halved`: where the halving without limits ends."""

    tokens: int
    messages: int
    summary: int
    halved: int

    @classmethod
    def of(cls, facts: Sequence[MessageFacts], order: Sequence[Sequence[int]], limits: Limits) -> _Size:
        # The larger half, so that a single message that may go does go.
        halved = len(facts) - (sum(map(len, order)) + 1) // 2
        return cls(sum(fact.tokens for fact in facts), len(facts), limits.current_summary_tokens, halved)

    def within(self, limits: Limits) -> bool:
        if limits.unlimited:
            return self.messages <= self.halved
        in_tokens = limits.target_tokens is None or self.tokens + self.summary <= limits.target_tokens
        return in_tokens and (limits.target_messages is None or self.messages <= limits.target_messages)


def _shorten(
    facts: Sequence[MessageFacts], current: frozenset[int], limits: Limits, size: _Size
) -> dict[int, Shortened]:
    """Shorten the oldest results of tools until the tokens are within the target; `size` shrinks with them.

    Whatever only has parts, and no text, cannot be shortened; neither is what is pinned or still talked about.
    """
    most, target = limits.tool_result_tokens, limits.target_tokens
    shorter: dict[int, Shortened] = {}
    for index, fact in enumerate(facts):
        if target is None or size.tokens + size.summary <= target:
            break
        if fact.role != "tool" or not fact.text_bytes or fact.pinned or index in current or fact.tokens <= most:
            continue
        shorter[index] = Shortened(fact.id, fact.tokens, most)
        size.tokens -= fact.tokens - most
    return shorter


def _ranges(facts: Sequence[MessageFacts], gone: Sequence[int]) -> tuple[IdRange, ...]:
    """Join neighbours among the positions `gone` (ascending) to ranges."""
    ranges: list[IdRange] = []
    start = 0
    for end in range(1, len(gone) + 1):
        if end < len(gone) and gone[end] == gone[end - 1] + 1:
            continue
        part = facts[gone[start] : gone[end - 1] + 1]
        ranges.append(IdRange(part[0].id, part[-1].id, len(part), sum(fact.tokens for fact in part)))
        start = end
    return tuple(ranges)
