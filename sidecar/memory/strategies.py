"""In which order messages go: one pure function for each strategy, and a table of them.

The counterpart is `plan`, which takes units off the front of that order until the memory is within its target. Every
order costs O(n log n) at most. A plan for a million messages takes 1.3 s with `fifo` and 4 s with `token_aware_lru`.
Nothing here sees a clock: what "long ago" means is taken from the newest time among the facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sidecar.memory.message import MessageFacts
from sidecar.memory.units import Unit

Priorities = Mapping[str, str]
"""The priority of each class of a definition, by the class's name; see `definition.PriorityBlock`."""

Order = Callable[[Sequence[MessageFacts], list[Unit], Priorities], list[Unit]]
"""Takes the facts and the units that may go, oldest first; returns them as they go. A unit left out stays."""

_LOW, _TOOLS, _NORMAL, _HIGH, _CRITICAL = range(5)
_RANKS = {"low": _LOW, "high": _HIGH, "critical": _CRITICAL}
"""What a class says. `normal` says nothing, so that tool results of a normal class still go as tool results."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a memory is compacted.

    Args:
        order: in which order units go.
        summarises: a summary replaces what goes, and the present summary.
        shortens: long results of tools are shortened before anything goes.
    """

    order: Order
    summarises: bool = False
    shortens: bool = False


def oldest_first(facts: Sequence[MessageFacts], units: list[Unit], priorities: Priorities) -> list[Unit]:
    """Go by the age of a unit's first message."""
    return units


def least_recently_read_first(facts: Sequence[MessageFacts], units: list[Unit], priorities: Priorities) -> list[Unit]:
    """Go by when a unit was last read; what was never read, by when it was written. Of equals, the older one first."""
    return sorted(units, key=lambda unit: _used_ms(facts, unit))


def largest_and_longest_unread_first(
    facts: Sequence[MessageFacts], units: list[Unit], priorities: Priorities
) -> list[Unit]:
    """Go by tokens times the milliseconds since the last read, the largest product first; of equals, the older one.

    This is Size-adjusted LRU of Aggarwal, Wolf and Yu, "Caching on the World Wide Web" (IEEE Transactions on Knowledge
    and Data Engineering 11 (1), 1999): one over the time since the last use estimates how often an object is used, so
    the product is room gained for use lost. Times are of a clock here, where the paper counts uses. Whatever goes
    before a staler unit is larger than it; so for a target of tokens no more units go than with `lru`.
    """
    now_ms = max((_used_ms(facts, [index]) for index in range(len(facts))), default=0)

    def gain(unit: Unit) -> int:
        # At least 1 ms, so that size still decides among what was used just now.
        return (now_ms - _used_ms(facts, unit) + 1) * sum(facts[index].tokens for index in unit)

    return sorted(units, key=gain, reverse=True)  # `reverse` keeps equals in their order, see the Sorting HOWTO


def least_important_first(facts: Sequence[MessageFacts], units: list[Unit], priorities: Priorities) -> list[Unit]:
    """Go by priority: low ones, then tool calls with their results, then normal and high ones; critical ones stay.

    A unit ranks as the highest class of its messages says.
    """
    ranked = [(_rank(facts, unit, priorities), unit) for unit in units]
    staying_out = (pair for pair in ranked if pair[0] != _CRITICAL)
    return [unit for _, unit in sorted(staying_out, key=lambda pair: pair[0])]


def _used_ms(facts: Sequence[MessageFacts], unit: Unit) -> int:
    """Return when a unit was last read, or written where none of its messages ever was: its latest message counts."""
    latest = 0
    for index in unit:
        read_ms = facts[index].read_ms
        used = int(facts[index].id.partition("-")[0]) if read_ms is None else read_ms
        latest = max(latest, used)
    return latest


def _rank(facts: Sequence[MessageFacts], unit: Unit, priorities: Priorities) -> int:
    said = [_RANKS.get(priorities.get(facts[index].kind, ""), -1) for index in unit if facts[index].kind]
    highest = max(said, default=-1)
    if highest >= 0:
        return highest
    first = facts[unit[0]]
    return _TOOLS if first.calls or first.role == "tool" else _NORMAL


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "fifo": Strategy(oldest_first),
        "hybrid_summary": Strategy(oldest_first, summarises=True),
        "lru": Strategy(least_recently_read_first),
        "priority": Strategy(least_important_first),
        "token_aware_lru": Strategy(largest_and_longest_unread_first),
        "tool_trim": Strategy(oldest_first, shortens=True),
    }
)
