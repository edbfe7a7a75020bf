"""Which messages go together, and which of them may go at all.

A message that calls tools and the tool messages that answer it are one *unit*; every other message is a unit by
itself. A result belongs to the nearest message before it that made its call, because some clients number their calls
anew in every turn; once each call of a unit has its result and anything but a tool message follows, the unit is over,
and a second result is a unit of its own. The counterpart is `store/lua/parts/units.lua`, which says the same of the
log on Redis. Not here: in which order units go (`strategies`), and how many (`plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.memory.message import PROTECTED_ROLES, MessageFacts

Unit = list[int]
"""Positions in the facts, oldest first: of a caller and its results, or of one other message."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a snapshot.

    Args:
        removable: those that may go, by the age of their first message.
        current: positions of the messages of the newest and the pending unit, which a conversation goes on from.
    """

    removable: list[Unit]
    current: frozenset[int]


def group(facts: Sequence[MessageFacts]) -> Units:
    """Return the units of a snapshot. O(n)."""
    unit_of, units = _units(facts)
    current = _current(facts, unit_of, units)
    protected = (index for index, fact in enumerate(facts) if fact.pinned or fact.role in PROTECTED_ROLES)
    staying = current.union(unit_of[index] for index in protected)
    return Units(
        removable=[unit for number, unit in enumerate(units) if number not in staying],
        current=frozenset(index for number in current for index in units[number]),
    )


def _current(facts: Sequence[MessageFacts], unit_of: list[int], units: list[Unit]) -> set[int]:
    """Return the numbers of the newest unit that is no instruction, and of the one whose results are to come."""
    current = set()
    newest_first = range(len(facts) - 1, -1, -1)
    newest = next((index for index in newest_first if facts[index].role not in PROTECTED_ROLES), None)
    if newest is not None:
        current.add(unit_of[newest])
    # Once anything but a tool message follows a call, nobody waits for its results any more. So only the last
    # message that is not a tool's can be pending.
    caller = next((index for index in newest_first if facts[index].role != "tool"), None)
    if caller is not None:
        answered = {facts[index].answers for index in units[unit_of[caller]][1:]}
        if not answered.issuperset(facts[caller].calls):
            current.add(unit_of[caller])
    return current


def _units(facts: Sequence[MessageFacts]) -> tuple[list[int], list[Unit]]:
    """Return the unit of each message, and the messages of each unit with the one that calls first."""
    unit_of: list[int] = []
    units: list[Unit] = []
    latest_call: dict[str, int] = {}  # call id -> unit
    unanswered: dict[int, set[str]] = {}  # unit -> calls without a result
    answered: list[int] = []  # units that are over with the next message that is not a tool's
    for index, fact in enumerate(facts):
        unit = None
        if fact.role == "tool":
            unit = latest_call.get(fact.answers) if fact.answers is not None else None
        else:
            for over in answered:
                for call in facts[units[over][0]].calls:
                    if latest_call.get(call) == over:
                        del latest_call[call]
            answered = []
        if unit is None:
            unit = len(units)
            units.append([])
        elif fact.answers in unanswered[unit]:
            unanswered[unit].discard(fact.answers)
            if not unanswered[unit]:
                answered.append(unit)
        units[unit].append(index)
        unit_of.append(unit)
        if fact.role != "tool" and fact.calls:
            latest_call.update(dict.fromkeys(fact.calls, unit))
            unanswered[unit] = set(fact.calls)
    return unit_of, units
