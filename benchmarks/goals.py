"""What a figure is to reach: a floor, below which something is wrong, and an aim, which is hoped for.

A goal is reported and not enforced: a measurement is no test, and the exit code does not depend on it. Nothing here
knows what is measured; the goals themselves are in `rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.robust import Spread

Direction = Literal["at least", "at most"]

Verdict = Literal["aim reached", "floor kept", "below aim", "MISSED", "no goal"]
"""`floor kept`: the aim, if there is one, is not reached. `below aim`: it is not, and there is no floor."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a figure should be.

    Args:
        direction: whether more is better (`at least`) or less.
        floor: what must hold; None where nothing must.
        aim: what is hoped for; None where the floor is all.
        every_round: whether each round is judged, or the median.
    """

    direction: Direction
    floor: float | None = None
    aim: float | None = None
    every_round: bool = False


def judge(goal: Goal | None, found: Spread) -> Verdict:
    """Return how a figure stands to its goal; a figure without one has `no goal`."""
    if goal is None:
        return "no goal"
    more = goal.direction == "at least"
    value = (found.least if more else found.most) if goal.every_round else found.median

    def reaches(mark: float) -> bool:
        return value >= mark if more else value <= mark

    if goal.floor is not None and not reaches(goal.floor):
        return "MISSED"
    if goal.aim is not None and reaches(goal.aim):
        return "aim reached"
    return "below aim" if goal.floor is None else "floor kept"
