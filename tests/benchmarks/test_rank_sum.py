"""The rank-sum test."""

from __future__ import annotations

from itertools import combinations

import pytest

from benchmarks.rank_sum import least_p, rank_sum_p


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),  # no overlap: one of 252 ways at either end
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 2 / 252),
        ([1, 2, 3, 4, 6], [5, 7, 8, 9, 10], 4 / 252),  # one pair the other way round
        ([1, 2, 3], [4, 5, 6], 2 / 20),
        ([1, 4], [2, 3], 1.0),  # the same mean of ranks
        ([7, 7], [7, 7], 1.0),
        ([1.5], [2.5], 1.0),
    ],
)
def test_known_values(first: list[float], second: list[float], p: float) -> None:
    """Small lists, counted by hand."""
    assert rank_sum_p(first, second) == pytest.approx(p)


def test_it_counts_ways_with_ties() -> None:
    """With ties it agrees with going through all ways to deal the values out."""
    first, second = [1.0, 2.0, 2.0, 5.0], [2.0, 5.0, 6.0, 6.0, 9.0]
    both = first + second
    ranks = [sum(other < value for other in both) + (both.count(value) + 1) / 2 for value in both]
    middle = sum(ranks) / len(both) * len(first)
    far = abs(sum(ranks[: len(first)]) - middle)
    ways = [abs(sum(chosen) - middle) >= far for chosen in combinations(ranks, len(first))]
    assert rank_sum_p(first, second) == pytest.approx(sum(ways) / len(ways))


def test_the_least_is_reached_without_overlap() -> None:
    """What `least_p` names is what lists without overlap give, and a single round a side shows nothing."""
    assert least_p(5, 5) == pytest.approx(rank_sum_p(range(5), range(10, 15)))
    assert least_p(3, 6) == pytest.approx(rank_sum_p(range(3), range(10, 16)))
    assert least_p(1, 1) == 1.0


def test_nothing_has_no_rank() -> None:
    """An empty list is refused."""
    with pytest.raises(ValueError, match="at least one value"):
        rank_sum_p([], [1.0])
