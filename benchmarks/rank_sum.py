"""Whether two lists of measurements differ by more than chance mixes them: the rank-sum test, exact.

It asks only which values are above which others (Wilcoxon 1945, Mann and Whitney 1947), so one disturbed round
weighs no more than any other, and nothing is assumed about how noise is distributed. The counterpart is `verdicts`,
which also asks whether a difference is large enough to matter: a test alone finds the smallest one, given rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import comb


def rank_sum_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how probable it is that chance alone sets two lists at least this far apart, in either direction.

    Exact, ties included: it counts the ways to deal the values that were seen out to two lists of these lengths.

    Raises:
        ValueError: a list is empty.
    """
    if not first or not second:
        raise ValueError("a rank test needs at least one value on either side")
    ranks = _doubled_ranks([*first, *second])
    seen = sum(ranks[: len(first)])
    middle = len(first) * (len(ranks) + 1)  # twice the mean of a rank, times the number of ranks
    far = abs(seen - middle)
    sums = _sums(ranks, len(first))
    return sum(ways for total, ways in sums.items() if abs(total - middle) >= far) / sums.total()


def least_p(first: int, second: int) -> float:
    """Return what `rank_sum_p` gives for lists of these lengths when all of one is above all of the other."""
    return min(1.0, 2 / comb(first + second, first))


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Return the rank of each value, doubled so that ties, which share the mean of their ranks, are whole numbers."""
    ranks: dict[float, int] = {}
    below = 0
    for value, group in groupby(sorted(values)):
        size = len(list(group))
        ranks[value] = 2 * below + size + 1
        below += size
    return [ranks[value] for value in values]


def _sums(ranks: Sequence[int], chosen: int) -> Counter[int]:
    """Return, for each sum of `chosen` of the ranks, in how many ways it comes about."""
    ways = [Counter({0: 1}), *(Counter[int]() for _ in range(chosen))]
    for rank in ranks:
        for size in range(chosen, 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + rank] += count
    return ways[chosen]
