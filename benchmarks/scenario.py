"""The words of a benchmark: a scenario has cases, a case puts contenders side by side and compares them.

Plain descriptions. Who runs them is `harness`, what they are is in `append`, `read`, `forward` and `ceiling`;
`flush_latency` and `flush_storm` measure several cases at once and give their results themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from benchmarks.goals import Verdict, judge
from benchmarks.load import Sample
from benchmarks.robust import Spread, spread
from benchmarks.rows import Row

MEMSIDECAR = "memsidecar"
"""The contender that is compared, and the process whose CPU time is shown."""

Quantity = Literal["rate", "p50_ms", "p99_ms"]

Kind = Literal["ratio", "difference", "value"]


class Meter(Protocol):
    """One contender, ready to be measured as often as wanted."""

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """Who does the work. `ready` packs the requests, which takes memory, so it is called only when the case's turn
    comes."""

    name: str
    ready: Callable[[], Meter]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is made of a contender's figures in every round.

    Args:
        quantity: a field or property of `Sample`.
        label: what to call it; None where "subject : reference" says it all.
        kind: subject : reference; subject minus reference, in the quantity's unit; or the subject's own figure, for
            which `reference` is None.
        row: its place on the scorecard, with its goal; None where it has none.
    """

    subject: str
    reference: str | None
    quantity: Quantity = "rate"
    label: str | None = None
    kind: Kind = "ratio"
    row: Row | None = None

    def __post_init__(self) -> None:
        if (self.kind == "value") != (self.reference is None):
            raise ValueError(f"a comparison of the kind '{self.kind}' has the reference {self.reference!r}")


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity that belongs to no contender, such as the length of a flush.

    Args:
        rounds: its value in each round.
        unit: "" for a plain number.
        row: its place on the scorecard, with its goal; None where it has none.
    """

    name: str
    rounds: list[float]
    unit: str = ""
    row: Row | None = None

    @property
    def spread(self) -> Spread:
        """The figure over the rounds."""
        return spread(self.rounds)

    @property
    def verdict(self) -> Verdict:
        """How it stands to its goal."""
        return judge(self.row.goal if self.row else None, self.spread)


def _nothing() -> None:
    """Prepare nothing."""


def _no_figures() -> Sequence[Figure]:
    return ()


@dataclass(frozen=True, slots=True)
class Case:
    """Contenders that do the same work, in interleaved rounds.

    Args:
        name: unique within the scenario.
        parameters: what distinguishes it, for programs that read the results.
        set_up: runs once, before the first round.
        prepare: runs before each measurement.
        figures: is asked after the last round for what belongs to no contender.
    """

    scenario: str
    name: str
    parameters: Mapping[str, str | int]
    contenders: Sequence[Contender]
    comparisons: Sequence[Comparison] = ()
    set_up: Callable[[], None] = field(default=_nothing)
    prepare: Callable[[], None] = field(default=_nothing)
    figures: Callable[[], Sequence[Figure]] = field(default=_no_figures)


def many(connections: int) -> str:
    """Return a number of connections in words, for names of cases."""
    return "1 connection" if connections == 1 else f"{connections} connections"
