"""Statistics for noisy machines: medians, the whole spread, and ratios of measurements that were made side by side.

No mean and no standard deviation: one disturbed round would move both. Nothing here knows what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds gave: the median, and the least and the most that were seen."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return median, minimum and maximum.

    Raises:
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("a spread needs at least one value")
    return Spread(median(values), min(values), max(values))


def paired_ratios(subject: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return subject : reference, round by round.

    A disturbance that lasts longer than a round slows both and cancels; a ratio of two medians would keep it.

    Raises:
        ValueError: the two have not the same number of rounds.
        ZeroDivisionError: a reference is 0.
    """
    return [mine / theirs for mine, theirs in zip(subject, reference, strict=True)]


def paired_differences(subject: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return subject minus reference, round by round; see `paired_ratios`.

    Raises:
        ValueError: the two have not the same number of rounds.
    """
    return [mine - theirs for mine, theirs in zip(subject, reference, strict=True)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank).

    Args:
        ordered: the values in ascending order.
        share: 0.5 for the median.

    Raises:
        ValueError: `ordered` is empty, or `share` is not between 0 and 1.
    """
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]
