"""What a run found, as plain values, and their form in JSON.

Every round is kept, so that another statistic can be computed later. The counterpart for people is `tables`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.load import Sample
from benchmarks.robust import Spread, paired_ratios, spread
from benchmarks.scenario import Case, Comparison, Quantity

FORMAT = 1
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
class Ratio:
    """A comparison and what each round gave for it."""

    comparison: Comparison
    rounds: list[float]

    @property
    def spread(self) -> Spread:
        """The ratio over the rounds."""
        return spread(self.rounds)

    @property
    def within_limit(self) -> bool | None:
        """Whether the median keeps the limit; None where there is none."""
        limit = self.comparison.limit
        return None if limit is None else self.spread.median <= limit


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity that belongs to no contender, such as the length of a flush.

    Args:
        rounds: its value in each round.
        unit: "" for a plain number.
        limit: most that any round may give; None where there is no such promise.
    """

    name: str
    rounds: list[float]
    unit: str = ""
    limit: float | None = None

    @property
    def spread(self) -> Spread:
        """The figure over the rounds."""
        return spread(self.rounds)

    @property
    def within_limit(self) -> bool | None:
        """Whether every round keeps the limit; None where there is none."""
        return None if self.limit is None else self.spread.most <= self.limit


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with everything that was measured."""

    case: Case
    contenders: list[ContenderResult]
    figures: list[Figure] = field(default_factory=list)

    def ratios(self) -> list[Ratio]:
        """Return the comparisons of the case; those that a contender's generator gives no figures for are left out."""
        by_name = {contender.name: contender.rounds for contender in self.contenders}
        found: list[Ratio] = []
        for comparison in self.case.comparisons:
            subject, reference = (
                _values(by_name[name], comparison.quantity) for name in (comparison.subject, comparison.reference)
            )
            if subject is not None and reference is not None:
                found.append(Ratio(comparison, paired_ratios(subject, reference)))
        return found


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


def _case(result: CaseResult) -> dict[str, object]:
    return {
        "scenario": result.case.scenario,
        "name": result.case.name,
        "parameters": dict(result.case.parameters),
        "contenders": [_contender(contender) for contender in result.contenders],
        "ratios": [_ratio(ratio) for ratio in result.ratios()],
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


def _ratio(ratio: Ratio) -> dict[str, object]:
    return asdict(ratio.comparison) | {
        "ratio": asdict(ratio.spread),
        "rounds": ratio.rounds,
        "within_limit": ratio.within_limit,
    }


def _figure(figure: Figure) -> dict[str, object]:
    return asdict(figure) | {"spread": asdict(figure.spread), "within_limit": figure.within_limit}
