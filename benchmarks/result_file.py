"""A result file of `make bench` or `make bench-instructions`, read as series that can be held against another file's.

The counterpart of `results` and `instructions`, which write such files. Fields that it does not know are passed over,
so a file of a later version with the same `format` can be read. It judges nothing: that is `verdicts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.client import GENERATOR
from benchmarks.results import FORMAT
from benchmarks.scenario import MEMSIDECAR

HIGHER_IS_BETTER = frozenset({"rate"})
"""Quantities of ratios. The others are times and costs."""

COSTS = frozenset({"µs", "ms", "s", "bytes", "KiB", "MiB", "GiB"})
"""Units of figures of which less is better. A plain number, such as the messages that were removed, is neither."""


class UnusableFile(Exception):
    """A file that cannot be compared; the text says why and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class Kind(Enum):
    """What a series is about, and so how it is judged."""

    RATIO = "ratio"
    CPU = "CPU time"
    FIGURE = "figure"
    INSTRUCTIONS = "instructions"


@dataclass(frozen=True, slots=True)
class Key:
    """What finds a series again in another file."""

    scenario: str
    case: str
    what: str


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one case.

    Args:
        rounds: its value in each round; at least one.
        unit: "" for a ratio.
        more_is_better: False for times and costs.
        parameters: of the case; two series with different ones are not the same work.
    """

    kind: Kind
    rounds: list[float]
    unit: str
    more_is_better: bool
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What is compared of a file."""

    path: Path
    facts: dict[str, Any]
    series: dict[Key, Series]


def read_results(path: Path) -> ResultFile:
    """Return what a file holds.

    Raises:
        UnusableFile: it cannot be read, is no result of a benchmark, has another format, or nothing to compare.
    """
    try:
        text = path.read_bytes()
    except OSError as problem:
        raise UnusableFile(
            path, f"it cannot be read ({problem.strerror}); name a file that `make bench` wrote"
        ) from None
    try:
        form = msgspec.json.decode(text, type=_Form).format
        if form != FORMAT:
            raise UnusableFile(
                path,
                f"it has format {form}, and this version compares format {FORMAT}; measure again with this version",
            )
        content = msgspec.json.decode(text, type=_File)
    except msgspec.MsgspecError as problem:
        raise UnusableFile(path, f"it is no result of `make bench`: {problem}") from None
    found = dict(_series(content))
    if not found:
        raise UnusableFile(path, "it has nothing to compare: no ratio, no CPU time, no instruction count")
    return ResultFile(path, content.facts, found)


class _Form(msgspec.Struct):
    format: int


class _Sample(msgspec.Struct):
    requests: float
    cpu_s: dict[str, float] = {}


class _Contender(msgspec.Struct):
    name: str
    rounds: list[_Sample]


class _Ratio(msgspec.Struct):
    subject: str
    reference: str
    quantity: str
    rounds: list[float]
    label: str | None = None


class _Figure(msgspec.Struct):
    name: str
    rounds: list[float]
    unit: str = ""


class _Case(msgspec.Struct):
    scenario: str
    name: str
    parameters: dict[str, Any] = {}
    contenders: list[_Contender] = []
    ratios: list[_Ratio] = []
    figures: list[_Figure] = []


class _Count(msgspec.Struct):
    process: str
    case: str
    rounds: list[float]
    parameters: dict[str, Any] = {}


class _File(msgspec.Struct):
    facts: dict[str, Any] = {}
    cases: list[_Case] = []
    instructions: list[_Count] = []


def _series(content: _File) -> Iterator[tuple[Key, Series]]:
    for case in content.cases:
        for what, series in (*_ratios(case), *_processor_times(case), *_figures(case)):
            if series.rounds:
                yield Key(case.scenario, case.name, what), series
    for count in content.instructions:
        if count.rounds:
            series = Series(Kind.INSTRUCTIONS, count.rounds, "instructions", False, count.parameters)
            yield Key("instructions", count.case, f"{count.process}, per request"), series


def _ratios(case: _Case) -> Iterator[tuple[str, Series]]:
    """Return what is compared with a reference. How references compare with each other is not ours to win or lose."""
    references = {ratio.reference for ratio in case.ratios if ratio.subject.startswith(MEMSIDECAR)}
    for ratio in case.ratios:
        if ratio.subject.startswith(MEMSIDECAR) or ratio.subject not in references:
            quantity = "" if ratio.quantity == "rate" else f", {ratio.quantity}"
            what = ratio.label or f"{ratio.subject} : {ratio.reference}{quantity}"
            yield what, Series(Kind.RATIO, ratio.rounds, "", ratio.quantity in HIGHER_IS_BETTER, case.parameters)


def _processor_times(case: _Case) -> Iterator[tuple[str, Series]]:
    """Return CPU time per request of memsidecar and the servers that worked for it, not of the process that made the
    load."""
    for contender in case.contenders:
        if not contender.name.startswith(MEMSIDECAR):
            continue
        for process in dict.fromkeys(process for one in contender.rounds for process in one.cpu_s):
            spent = [one.cpu_s[process] / one.requests * 1e6 for one in contender.rounds if process in one.cpu_s]
            if process != GENERATOR:
                what = f"CPU of {process} per request, {contender.name}"
                yield what, Series(Kind.CPU, spent, "µs", False, case.parameters)


def _figures(case: _Case) -> Iterator[tuple[str, Series]]:
    for figure in case.figures:
        if figure.unit in COSTS:
            yield figure.name, Series(Kind.FIGURE, figure.rounds, figure.unit, False, case.parameters)
