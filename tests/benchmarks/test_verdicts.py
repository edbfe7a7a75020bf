"""The rule that tells a loss from noise."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.result_file import Key, Kind, ResultFile, Series
from benchmarks.verdicts import LEAST_EFFECT, Verdict, findings, judge

CALM = [0.98, 0.99, 1.0, 1.01, 1.02]


def series(rounds: list[float], kind: Kind = Kind.RATIO, *, more_is_better: bool = True, **parameters: Any) -> Series:
    return Series(kind, rounds, "", more_is_better, parameters)


def scaled(factor: float, rounds: list[float] | None = None) -> list[float]:
    return [factor * value for value in rounds or CALM]


def results(**found: Series) -> ResultFile:
    return ResultFile(Path("some.json"), {}, {Key("s", "c", what): one for what, one in found.items()})


@pytest.mark.parametrize(
    ("factor", "more_is_better", "verdict"),
    [
        (0.8, True, Verdict.LOST),
        (1.25, True, Verdict.WON),
        (0.8, False, Verdict.WON),
        (1.25, False, Verdict.LOST),
        (1.0, True, Verdict.ALIKE),
        (0.97, True, Verdict.ALIKE),  # certain, and too small to matter
    ],
)
def test_calm_rounds(factor: float, more_is_better: bool, verdict: Verdict) -> None:
    """A planted loss is found, whichever direction is the better one; what is below the least effect is no loss."""
    old, new = (series(rounds, more_is_better=more_is_better) for rounds in (CALM, scaled(factor)))
    assert judge(old, new) is verdict


def test_one_disturbed_round_hides_no_loss_and_makes_none() -> None:
    """Medians and ranks: one round that is far off moves neither verdict."""
    disturbed = [*CALM[:4], 0.1]
    assert judge(series(CALM), series(disturbed)) is Verdict.ALIKE
    assert judge(series([*CALM, *CALM[:2], 5.0]), series([*scaled(0.8), *scaled(0.8)[:2], 0.1])) is Verdict.LOST


def test_rounds_that_mix_are_unclear() -> None:
    """A median far off, in rounds that overlap, is neither lost nor alike: more rounds would tell."""
    assert judge(series([0.5, 0.8, 1.0, 1.2, 1.5]), series([0.4, 0.6, 0.8, 1.1, 1.6])) is Verdict.UNCLEAR


def test_noise_is_hardly_ever_reported() -> None:
    """Of 2,000 comparisons of the same thing with 10 % noise fewer than one in a hundred is called lost."""
    random = Random(7)

    def noisy() -> Series:
        return series([random.gauss(1.0, 0.1) for _ in range(5)])

    assert sum(judge(noisy(), noisy()) is Verdict.LOST for _ in range(2_000)) < 20


@pytest.mark.parametrize(
    ("rounds", "factor", "verdict"),
    [
        (3, 0.80, Verdict.LOST),
        (3, 0.90, Verdict.UNCLEAR),  # apart, and not by twice the least effect
        (2, 0.50, Verdict.UNCLEAR),
        (1, 0.50, Verdict.UNCLEAR),
    ],
)
def test_few_rounds_need_a_larger_effect(rounds: int, factor: float, verdict: Verdict) -> None:
    """Three rounds must lie apart by twice the least effect; one or two say nothing."""
    assert judge(series(CALM[:rounds]), series(scaled(factor, CALM[:rounds]))) is verdict


def test_three_rounds_that_touch_are_unclear() -> None:
    """With few rounds one that is among the other file's is enough for doubt."""
    assert judge(series([1.0, 1.1, 0.7]), series([0.72, 0.7, 0.6])) is Verdict.UNCLEAR


@pytest.mark.parametrize(
    ("kind", "factor"), [(kind, 1 + effect) for kind, effect in LEAST_EFFECT.items()], ids=lambda one: str(one)
)
def test_each_kind_has_its_least_effect(kind: Kind, factor: float) -> None:
    """A hair above it is a loss, a hair below is none."""
    old = series([1.0] * 5, kind, more_is_better=False)
    assert judge(old, series([factor * 1.0005] * 5, kind, more_is_better=False)) is Verdict.LOST
    assert judge(old, series([factor * 0.9995] * 5, kind, more_is_better=False)) is Verdict.ALIKE


def test_one_count_of_instructions_is_enough() -> None:
    """They are exact, so one round a side is judged."""
    old, new = (series([count], Kind.INSTRUCTIONS, more_is_better=False) for count in (300_000.0, 304_000.0))
    assert judge(old, new) is Verdict.LOST
    assert judge(new, old) is Verdict.WON


def test_zero_is_no_error() -> None:
    """Nothing and nothing are alike; something instead of nothing is a loss."""
    nothing, something = (series([value] * 5, Kind.FIGURE, more_is_better=False) for value in (0.0, 1.0))
    assert judge(nothing, nothing) is Verdict.ALIKE
    assert judge(nothing, something) is Verdict.LOST
    assert judge(something, nothing) is Verdict.WON


def test_files_are_held_against_each_other() -> None:
    """Every quantity of either file gets a finding, with the change of the median where both have it."""
    old = results(slower=series(CALM), gone=series(CALM), sized=series(CALM, messages=10))
    new = results(slower=series(scaled(0.5)), added=series(CALM), sized=series(CALM, messages=20))
    found = {one.key.what: one for one in findings(old, new)}
    assert {what: one.verdict for what, one in found.items()} == {
        "slower": Verdict.LOST,
        "added": Verdict.ONLY_NEW,
        "gone": Verdict.ONLY_OLD,
        "sized": Verdict.OTHER_WORK,
    }
    assert found["slower"].change == pytest.approx(-0.5)
    assert found["gone"].change is None


def test_a_parameter_more_is_no_other_work() -> None:
    """A version that tells more of its cases can be compared with one that told less."""
    (finding,) = findings(results(one=series(CALM, a=1)), results(one=series(CALM, a=1, b=2)))
    assert finding.verdict is Verdict.ALIKE
