"""Says of each quantity in two result files whether it lost, won, or only differs by noise.

A difference counts when it is both certain and large enough:

- Certain: the rounds of one file and those of the other lie so far apart that chance would do it in one case of a
  hundred at most (`rank_sum`). With too few rounds for that, all rounds of one must be above all of the other, and the
  difference must be larger.
- Large enough: the medians differ by the least effect of their kind. Noise between two runs, such as where the kernel
  put the processes, is in no round's spread, so certainty alone would report it.

Instruction counts have next to no noise, and only the medians are looked at. The counterparts are `result_file`, which
reads, and `compare`, which shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf

from benchmarks.rank_sum import least_p, rank_sum_p
from benchmarks.result_file import Key, Kind, ResultFile, Series
from benchmarks.robust import Spread, spread

SIGNIFICANCE = 0.01
"""Most that chance may explain. Two runs have some hundred quantities, so 0.05 would find five losses where there are
none; and five rounds a side, the default, can show 0.008."""

LEAST_EFFECT = {Kind.RATIO: 0.07, Kind.CPU: 0.20, Kind.FIGURE: 0.30, Kind.INSTRUCTIONS: 0.01}
"""Smallest difference of medians that counts, as a share. Ratios have their reference in the same round. CPU time per
request has none: clock rates and the other half of a core move it, and two runs of the same code on a busy machine
were 17 % apart in one case of sixteen. Figures are times by the wall clock, also without a reference. Instruction
counts repeat within a fraction of one percent."""

FEW_ROUNDS_FACTOR = 2.0
"""How much larger an effect must be where the rounds are too few for `SIGNIFICANCE`: three a side lie apart by chance
in one case of ten."""

MIN_ROUNDS = 3
"""With fewer nothing is known of the noise, and nothing is judged except instruction counts."""


class Verdict(Enum):
    """What became of a quantity."""

    LOST = "lost"
    WON = "won"
    UNCLEAR = "unclear"
    ALIKE = "alike"
    ONLY_OLD = "only in the old file"
    ONLY_NEW = "only in the new file"
    OTHER_WORK = "other work"


@dataclass(frozen=True, slots=True)
class Finding:
    """A quantity in both files.

    Args:
        old, new: None where the file does not have it.
        change: how much larger the new median is, as a share of the old one; None where there are not two.
    """

    key: Key
    verdict: Verdict
    old: Series | None
    new: Series | None
    change: float | None = None


def findings(old: ResultFile, new: ResultFile) -> Iterator[Finding]:
    """Return a finding for every quantity of either file, in the order of the new one and then of the old one."""
    for key in dict.fromkeys([*new.series, *old.series]):
        before, after = old.series.get(key), new.series.get(key)
        if before is None or after is None:
            yield Finding(key, Verdict.ONLY_NEW if before is None else Verdict.ONLY_OLD, before, after)
        elif _other_work(before, after):
            yield Finding(key, Verdict.OTHER_WORK, before, after)
        else:
            change = _times(spread(after.rounds).median, spread(before.rounds).median) - 1
            yield Finding(key, judge(before, after), before, after, change)


def judge(old: Series, new: Series) -> Verdict:
    """Return LOST, WON, ALIKE, or UNCLEAR: a difference that would count if it were certain."""
    before, after = spread(old.rounds).median, spread(new.rounds).median
    cost = _times(before, after) if new.more_is_better else _times(after, before)
    least = LEAST_EFFECT[new.kind]
    if 1 / (1 + least) < cost < 1 + least:
        return Verdict.ALIKE
    verdict = Verdict.WON if cost < 1 else Verdict.LOST
    if new.kind is Kind.INSTRUCTIONS or _certain(old, new, max(cost, 1 / cost if cost else inf)):
        return verdict
    return Verdict.UNCLEAR


def _certain(old: Series, new: Series, cost: float) -> bool:
    rounds = len(old.rounds), len(new.rounds)
    if min(rounds) < MIN_ROUNDS:
        return False
    if least_p(*rounds) <= SIGNIFICANCE:
        return rank_sum_p(old.rounds, new.rounds) <= SIGNIFICANCE
    before, after = spread(old.rounds), spread(new.rounds)
    return _apart(before, after) and cost >= 1 + LEAST_EFFECT[new.kind] * FEW_ROUNDS_FACTOR


def _apart(first: Spread, second: Spread) -> bool:
    return first.most < second.least or second.most < first.least


def _times(value: float, base: float) -> float:
    """Return value : base, where nothing against nothing is 1."""
    if base == 0:
        return 1.0 if value == 0 else inf
    return value / base


def _other_work(old: Series, new: Series) -> bool:
    """Return whether a parameter that both cases have differs, or what is better does; more parameters are no other
    work."""
    shared = old.parameters.keys() & new.parameters.keys()
    return any(old.parameters[name] != new.parameters[name] for name in shared) or (
        old.kind,
        old.more_is_better,
        old.unit,
    ) != (new.kind, new.more_is_better, new.unit)
