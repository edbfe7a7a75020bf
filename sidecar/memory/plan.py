"""What a flush removes: a pure decision over the facts of a snapshot.

The counterpart is `sidecar.flush.steps`, which reads the facts and carries the plan out. Nothing here sees a
text, a clock or Redis. Three rules hold for every strategy:

- Instructions (`PROTECTED_ROLES`) and pinned messages stay.
- A message that calls tools and the tool messages that answer it are one *unit*: they go together or stay
  together, because every chat API refuses half of such a pair. A tool message whose call is not in the
  snapshot is a unit of its own. A unit of which one message stays, stays.
- Two more units stay: the *pending* one, whose results are still to come, and the *newest* one. A memory
  compacted in the middle of a turn must still show the agent what it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sidecar.memory.message import PROTECTED_ROLES, MessageFacts

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
    """

    target_tokens: int | None
    target_messages: int | None
    summary_tokens: int
    current_summary_tokens: int


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
    """

    strategy: str
    ranges: tuple[IdRange, ...]
    removed: int
    freed_tokens: int
    summarise: bool
    reached: bool
    shortened: tuple[Shortened, ...] = ()


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
    return STRATEGIES[strategy](facts, limits)


def forced(limits: Limits, facts: Sequence[MessageFacts]) -> Limits:
    """Return the limits of a flush with `FORCE`, which means "compact now", whatever the size.

    The target becomes half of the present tokens where that is less, and the summary takes at most half of
    the target: otherwise a small memory would be replaced by a summary as long as itself. The caller gives
    the returned `summary_tokens` to the summariser, too. Without any limit the targets stay None, and
    `make_plan` halves the messages.
    """
    half = (sum(fact.tokens for fact in facts) + limits.current_summary_tokens) // 2
    unlimited = limits.target_tokens is None and limits.target_messages is None
    target = half if limits.target_tokens is None else min(half, limits.target_tokens)
    return replace(
        limits,
        target_tokens=None if unlimited else target,
        summary_tokens=min(limits.summary_tokens, max(target // 2, SMALLEST_SUMMARY_TOKENS)),
    )


def fifo(facts: Sequence[MessageFacts], limits: Limits) -> Plan:
    """Remove the oldest units until the target is reached. The present summary stays as it is."""
    return _oldest_first("fifo", facts, limits, summarise=False)


def hybrid_summary(facts: Sequence[MessageFacts], limits: Limits) -> Plan:
    """Turn the oldest units into one summary, which replaces the present one, until the target is reached.

    The whole budget of the summary is reserved, so that the memory is within the target whatever it takes.
    """
    return _oldest_first("hybrid_summary", facts, limits, summarise=True)


STRATEGIES: Mapping[str, Callable[[Sequence[MessageFacts], Limits], Plan]] = MappingProxyType(
    {"fifo": fifo, "hybrid_summary": hybrid_summary}
)


def _oldest_first(strategy: str, facts: Sequence[MessageFacts], limits: Limits, *, summarise: bool) -> Plan:
    units = _removable_units(facts)
    tokens, messages = sum(fact.tokens for fact in facts), len(facts)
    summary, reserved = limits.current_summary_tokens, limits.current_summary_tokens
    if summarise:
        reserved = limits.summary_tokens
    unlimited = limits.target_tokens is None and limits.target_messages is None
    # The larger half, so that a single message that may go does go.
    keep_messages = messages - (sum(map(len, units)) + 1) // 2 if unlimited else 0

    def reached() -> bool:
        if unlimited:
            return messages <= keep_messages
        in_tokens = limits.target_tokens is None or tokens + summary <= limits.target_tokens
        return in_tokens and (limits.target_messages is None or messages <= limits.target_messages)

    gone: list[int] = []
    for unit in units:
        if reached():
            break
        summary = reserved  # from the first removal on, a summary must fit as well
        gone += unit
        messages -= len(unit)
        tokens -= sum(facts[index].tokens for index in unit)
    ranges = _ranges(facts, sorted(gone))
    return Plan(
        strategy=strategy,
        ranges=ranges,
        removed=len(gone),
        freed_tokens=sum(part.tokens for part in ranges),
        summarise=summarise and bool(gone),
        reached=reached(),
    )


def _removable_units(facts: Sequence[MessageFacts]) -> list[list[int]]:
    """Return the units that may go, by the age of their first message, as positions in `facts`."""
    unit_of, units = _units(facts)
    protected = (i for i, fact in enumerate(facts) if fact.pinned or fact.role in PROTECTED_ROLES)
    staying = {unit_of[index] for index in protected}
    newest_first = range(len(facts) - 1, -1, -1)
    newest = next((index for index in newest_first if facts[index].role not in PROTECTED_ROLES), None)
    if newest is not None:
        staying.add(unit_of[newest])
    # Once anything but a tool message follows a call, nobody waits for its results any more. So only the last
    # message that is not a tool's can be pending.
    caller = next((index for index in newest_first if facts[index].role != "tool"), None)
    if caller is not None:
        answered = {facts[index].answers for index in units[unit_of[caller]][1:]}
        if not answered.issuperset(facts[caller].calls):
            staying.add(unit_of[caller])
    return [unit for number, unit in enumerate(units) if number not in staying]


def _units(facts: Sequence[MessageFacts]) -> tuple[list[int], list[list[int]]]:
    """Return the unit of each message, and the messages of each unit with the one that calls first."""
    unit_of: list[int] = []
    units: list[list[int]] = []
    latest_call: dict[str, int] = {}  # call id -> unit; some clients number their calls anew in every turn
    for index, fact in enumerate(facts):
        unit = None
        if fact.role == "tool" and fact.answers is not None:
            unit = latest_call.get(fact.answers)
        if unit is None:
            unit = len(units)
            units.append([])
        units[unit].append(index)
        unit_of.append(unit)
        if fact.role != "tool":
            latest_call.update(dict.fromkeys(fact.calls, unit))
    return unit_of, units


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
