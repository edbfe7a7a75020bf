"""The words of a benchmark: a scenario has cases, a case puts contenders side by side and compares them.

Plain descriptions. Who runs them is `harness`, what they are is in `append`, `read`, `forward` and `ceiling`;
`flush_latency` and `flush_storm` measure several cases at once and give their results themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from benchmarks.load import Sample

MEMSIDECAR = "memsidecar"
"""The contender that is compared, and the process whose CPU time is shown."""

Quantity = Literal["rate", "p50_ms", "p99_ms"]


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
    """A ratio of two contenders, subject : reference, taken in every round.

    Args:
        quantity: a field or property of `Sample`.
        label: what to call it; None where "subject : reference" says it all.
        limit: most that the median may be; None where there is no such promise.
    """

    subject: str
    reference: str
    quantity: Quantity = "rate"
    label: str | None = None
    limit: float | None = None


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """Contenders that do the same work, in interleaved rounds.

    Args:
        name: unique within the scenario.
        parameters: what distinguishes it, for programs that read the results.
        set_up: runs once, before the first round.
        prepare: runs before each measurement.
    """

    scenario: str
    name: str
    parameters: Mapping[str, str | int]
    contenders: Sequence[Contender]
    comparisons: Sequence[Comparison] = ()
    set_up: Callable[[], None] = field(default=_nothing)
    prepare: Callable[[], None] = field(default=_nothing)


def many(connections: int) -> str:
    """Return a number of connections in words, for names of cases."""
    return "1 connection" if connections == 1 else f"{connections} connections"
