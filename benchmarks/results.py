"""What a run found, as plain values, and their form in JSON.

Every round is kept, so that another statistic can be computed later. The counterpart for people is `tables`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.goals import Goal, Verdict, judge
from benchmarks.load import Sample
from benchmarks.robust import Spread, paired_differences, paired_ratios, spread
from benchmarks.rows import Row
from benchmarks.scenario import Case, Comparison, Figure, Kind, Quantity
from benchmarks.scorecard import scorecard

FORMAT = 2
"""Version of the JSON; raised when a field changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class ContenderResult:
    """One contender of a case, with all its rounds in order."""

    name: str
    rounds: list[Sample]

    @property
    def rate(self) -> Spread:
        """Requests per second."""
        return spread([sample.rate for sample in self.rounds])

    def latency(self, quantity: str) -> Spread | None:
        """Return `p50_ms` or `p99_ms` over the rounds; None where the generator does not tell."""
        values = [getattr(sample, quantity) for sample in self.rounds]
        return None if None in values else spread(values)

    def cpu_us(self, process: str) -> float | None:
        """Return microseconds of CPU time that `process` spent per request, the median; None if not known."""
        spent = [sample.cpu_s[process] / sample.requests * 1e6 for sample in self.rounds if process in sample.cpu_s]
        return spread(spent).median if spent else None

    def busy(self, process: str) -> float | None:
        """Return the share of one core that `process` used, the median; None if not known."""
        shares = [sample.cpu_s[process] / sample.seconds for sample in self.rounds if process in sample.cpu_s]
        return spread(shares).median if shares else None


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison and what each round gave for it."""

    comparison: Comparison
    rounds: list[float]

    @property
    def spread(self) -> Spread:
        """The figure over the rounds."""
        return spread(self.rounds)

    @property
    def verdict(self) -> Verdict:
        """How it stands to its goal."""
        row = self.comparison.row
        return judge(row.goal if row else None, self.spread)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with everything that was measured."""

    case: Case
    contenders: list[ContenderResult]
    figures: list[Figure] = field(default_factory=list)

    def compared(self) -> list[Compared]:
        """Return the comparisons of the case; those that a contender's generator gives no figures for are left out."""
        return [
            Compared(comparison, rounds)
            for comparison in self.case.comparisons
            if (rounds := self._rounds(comparison)) is not None
        ]

    def _rounds(self, comparison: Comparison) -> list[float] | None:
        by_name = {contender.name: contender.rounds for contender in self.contenders}
        subject = _values(by_name[comparison.subject], comparison.quantity)
        if comparison.reference is None or subject is None:
            return subject
        reference = _values(by_name[comparison.reference], comparison.quantity)
        if reference is None:
            return None
        return (paired_ratios if comparison.kind == "ratio" else paired_differences)(subject, reference)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run.

    Args:
        facts: machine and versions.
        parameters: what the run was asked to do.
        cases: in the order in which they ran.
        seconds: how long all of it took.
    """

    facts: dict[str, object]
    parameters: dict[str, object]
    cases: list[CaseResult]
    seconds: float

    def to_json(self) -> str:
        """Return the report as JSON text."""
        content = {
            "format": FORMAT,
            "facts": self.facts,
            "parameters": self.parameters,
            "seconds": self.seconds,
            "scorecard": [asdict(line) for line in scorecard(self.cases)],
            "cases": [_case(result) for result in self.cases],
        }
        return json.dumps(content, indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write the JSON; directories are made where they lack."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), encoding="utf-8")


def _values(rounds: Sequence[Sample], quantity: Quantity) -> list[float] | None:
    values = [getattr(sample, quantity) for sample in rounds]
    return None if None in values else values


_LISTS: dict[Kind, str] = {"ratio": "ratios", "difference": "differences", "value": "values"}
"""Where comparisons of each kind stand, so that whoever reads ratios meets nothing else there."""


def _case(result: CaseResult) -> dict[str, object]:
    compared = result.compared()
    return {
        "scenario": result.case.scenario,
        "name": result.case.name,
        "parameters": dict(result.case.parameters),
        "contenders": [_contender(contender) for contender in result.contenders],
        **{name: [_compared(one) for one in compared if one.comparison.kind == kind] for kind, name in _LISTS.items()},
        "figures": [_figure(figure) for figure in result.figures],
    }


def _contender(contender: ContenderResult) -> dict[str, object]:
    p50, p99 = contender.latency("p50_ms"), contender.latency("p99_ms")
    processes = contender.rounds[0].cpu_s
    return {
        "name": contender.name,
        "rate": asdict(contender.rate),
        "p50_ms": None if p50 is None else asdict(p50),
        "p99_ms": None if p99 is None else asdict(p99),
        "cpu_us_per_request": {process: contender.cpu_us(process) for process in processes},
        "rounds": [asdict(sample) | {"rate": sample.rate} for sample in contender.rounds],
    }


def _compared(compared: Compared) -> dict[str, object]:
    comparison = compared.comparison
    return {
        "subject": comparison.subject,
        "reference": comparison.reference,
        "quantity": comparison.quantity,
        "label": comparison.label,
        **_standing(comparison.row, compared.verdict),
        comparison.kind: asdict(compared.spread),
        "rounds": compared.rounds,
    }


def _figure(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        **_standing(figure.row, figure.verdict),
        "spread": asdict(figure.spread),
        "rounds": figure.rounds,
    }


def _standing(row: Row | None, verdict: Verdict) -> dict[str, object]:
    goal: Goal | None = row.goal if row else None
    return {"row": row.name if row else None, "goal": asdict(goal) if goal else None, "verdict": verdict}
