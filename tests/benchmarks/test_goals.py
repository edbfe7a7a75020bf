"""Judging figures."""

from __future__ import annotations

import pytest

from benchmarks.goals import Goal, Verdict, judge
from benchmarks.robust import Spread


@pytest.mark.parametrize(
    ("goal", "median", "verdict"),
    [
        (Goal("at least", 0.8, 1.0), 1.0, "aim reached"),
        (Goal("at least", 0.8, 1.0), 0.9, "floor kept"),
        (Goal("at least", 0.8, 1.0), 0.8, "floor kept"),
        (Goal("at least", 0.8, 1.0), 0.7, "MISSED"),
        (Goal("at most", 50, 15), 15, "aim reached"),
        (Goal("at most", 50, 15), 50, "floor kept"),
        (Goal("at most", 50, 15), 51, "MISSED"),
        (Goal("at most", 5), 1, "floor kept"),
        (Goal("at least", None, 0.6), 0.6, "aim reached"),
        (Goal("at least", None, 0.6), 0.5, "below aim"),
        (None, 1, "no goal"),
    ],
)
def test_the_median_is_judged(goal: Goal | None, median: float, verdict: Verdict) -> None:
    """Floor and aim belong to what reaches them exactly, in both directions; either may be absent."""
    assert judge(goal, Spread(median, median - 100, median + 100)) == verdict


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("at most", 10, every_round=True), "floor kept"),
        (Goal("at most", 9, every_round=True), "MISSED"),
        (Goal("at least", 1, every_round=True), "floor kept"),
        (Goal("at least", 2, every_round=True), "MISSED"),
    ],
)
def test_every_round_is_judged_where_that_is_asked(goal: Goal, verdict: Verdict) -> None:
    """Then it is the worst one that counts, which depends on the direction."""
    assert judge(goal, Spread(5, 1, 10)) == verdict
