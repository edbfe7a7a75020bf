"""Medians, spreads, paired ratios, percentiles."""

from __future__ import annotations

import pytest

from benchmarks.robust import Spread, paired_differences, paired_ratios, percentile, spread


def test_a_spread_is_median_minimum_and_maximum() -> None:
    """One outlier moves the maximum and not the median."""
    assert spread([5.0, 3.0, 1_000.0, 4.0, 1.0]) == Spread(4.0, 1.0, 1_000.0)


def test_a_spread_of_an_even_number_lies_between_the_middle_two() -> None:
    """With an even number of rounds the median is the mean of the two in the middle."""
    assert spread([1.0, 2.0, 4.0, 9.0]).median == 3.0


def test_a_spread_needs_a_value() -> None:
    """No rounds, no spread."""
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    """A disturbance that halves both sides of a round leaves its ratio alone; a ratio of medians would not."""
    assert paired_ratios([50.0, 25.0, 60.0], [100.0, 50.0, 120.0]) == [0.5, 0.5, 0.5]


def test_rounds_must_be_pairs() -> None:
    """A round that only one side has is a mistake."""
    with pytest.raises(ValueError, match="longer"):
        paired_ratios([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (0.995, 100.0), (1.0, 100.0)],
)
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    """The nearest rank: the smallest value that at least this share of the values does not exceed."""
    assert percentile([float(number) for number in range(1, 101)], share) == expected


def test_the_percentile_of_one_value_is_that_value() -> None:
    """A single measurement is its own median and its own p99."""
    assert [percentile([7.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [7.0] * 4


@pytest.mark.parametrize(("values", "share", "complaint"), [([], 0.5, "one value"), ([1.0], 1.5, "between 0 and 1")])
def test_impossible_percentiles(values: list[float], share: float, complaint: str) -> None:
    """No values, or a share outside 0 to 1, is refused."""
    with pytest.raises(ValueError, match=complaint):
        percentile(values, share)


def test_differences_are_taken_round_by_round() -> None:
    """They keep the sign, and rounds must pair."""
    assert paired_differences([3.0, 5.0], [1.0, 6.0]) == [2.0, -1.0]
    with pytest.raises(ValueError, match="zip"):
        paired_differences([1.0], [1.0, 2.0])
