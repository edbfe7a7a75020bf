"""A report for people: tables for the terminal (rich) and for a page (Markdown), from the same cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.client import GENERATOR
from benchmarks.goals import Verdict
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.robust import Spread
from benchmarks.rows import Row
from benchmarks.scenario import MEMSIDECAR
from benchmarks.scorecard import HEADINGS, Line, cells, mark, markdown, scorecard, unmeasured
from benchmarks.stage import REDIS

BUSY_GENERATOR = 0.9
"""Share of a core from which on the generator itself may be what limits a rate."""

NOTHING = "-"

FEW = 100
"""Numbers below it are shown with two decimals."""

COLUMNS = {
    "": 28,
    "requests/s": 10,
    "min-max": 15,
    "memsidecar : it": 10,
    "ratio's min-max": 11,
    "p50 ms": 7,
    "p99 ms": 7,
    "µs memsidecar": 10,
    "µs Redis": 7,
    "load": 5,
}
"""Headings, and their widths on a terminal, so that the tables of all cases are one below the other."""

LEFT = (0, 1, len(HEADINGS) - 1)
"""Columns of the scorecard that hold words."""

STYLES: dict[Verdict, str] = {"aim reached": "green", "MISSED": "bold red"}
"""How a line of the scorecard is set off."""

LEGEND = (
    "Medians of all rounds; ratios are taken within each round. p50 and p99 are the time of a whole pipeline; µs is "
    "the CPU time per request of memsidecar and of Redis; load is the share of a core that making the load takes, and "
    "from 90% on (marked *) it may be what limits a rate."
)


@dataclass(frozen=True, slots=True)
class Section:
    """One case: its title, and a row of cells for each contender."""

    title: str
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One scenario: its cases, and the ratios that fit into no row."""

    title: str
    sections: list[Section]
    notes: list[str]


def chapters(report: Report) -> Iterator[Chapter]:
    """Return the cells of a report."""
    for scenario, group in groupby(report.cases, key=lambda result: result.case.scenario):
        results = list(group)
        notes = [f"{result.case.name}: {note}" for result in results for note in _notes(result)]
        yield Chapter(scenario, [_section(result) for result in results if result.contenders], notes)


def for_terminal(report: Report) -> RenderableType:
    """Return the report as rich shows it."""
    parts: list[RenderableType] = list(_scorecard(scorecard(report.cases)))
    for chapter in chapters(report):
        parts.append(Text(chapter.title, style="bold underline"))
        for number, section in enumerate(chapter.sections):
            parts += [Text(f"  {section.title}", style="bold"), _table(section, with_head=not number)]
        parts += [*(Text(f"  {note}") for note in chapter.notes), Text("")]
    return Group(*parts, Text(LEGEND, style="dim"), Text(conditions(report), style="dim"))


def _scorecard(lines: list[Line]) -> Iterator[RenderableType]:
    if not lines:
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number in LEFT else "right")
    for line in lines:
        table.add_row(*map(Text, cells(line)), style=STYLES.get(line.verdict, ""))
    yield from (Text("scorecard", style="bold underline"), table)
    if missing := unmeasured(lines):
        why = "other scenarios, sizes that --quick leaves out, or a program that is not installed"
        yield Text(f"  not measured: {len(missing)} more rows ({why})", style="dim")
    yield Text("")


def _table(section: Section, *, with_head: bool) -> Table:
    table = Table(box=None, show_header=with_head, padding=(0, 1, 0, 0))
    for number, (name, width) in enumerate(COLUMNS.items()):
        table.add_column(name, justify="right" if number else "left", min_width=width, max_width=width)
    for row in section.rows:
        table.add_row(*map(Text, row), style="cyan" if row[0].startswith(MEMSIDECAR) else "")
    return table


def for_markdown(report: Report) -> str:
    """Return the report as Markdown, one table per scenario."""
    lines = [conditions(report), ""]
    if scored := scorecard(report.cases):
        lines += ["### scorecard", "", markdown(scored)]
    lines += [LEGEND.replace("*", r"\*"), ""]
    for chapter in chapters(report):
        lines += [f"### {chapter.title}", "", _line(list(COLUMNS)), _line(["---", *["---:"] * (len(COLUMNS) - 1)])]
        for section in chapter.sections:
            lines.append(_line([f"**{section.title}**", *[""] * (len(COLUMNS) - 1)]))
            lines += [_line(row) for row in section.rows]
        lines += ["", *(f"- {note}" for note in chapter.notes), *([""] if chapter.notes else [])]
    return "\n".join(lines).rstrip() + "\n"


def conditions(report: Report) -> str:
    """Return one sentence on where and how the report came to be."""
    facts, parameters = report.facts, report.parameters
    return (
        f"memsidecar {facts['memsidecar']}, {facts['python']}, Redis {facts['redis']}, "
        f"tokens by {facts['token_engine']}; "
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}; "
        f"each measured {parameters['rounds']} times for {parameters['seconds']:g} s; {str(facts['time'])[:10]}."
    )


def _section(result: CaseResult) -> Section:
    unlabelled = [one for one in result.compared() if one.comparison.label is None]
    ratios = {one.comparison.reference: _ratio(one.spread) for one in unlabelled if one.comparison.kind == "ratio"}
    return Section(
        result.case.name, [_row(each, ratios.get(each.name, [NOTHING, NOTHING])) for each in result.contenders]
    )


def _row(contender: ContenderResult, ratio: list[str]) -> list[str]:
    rate = contender.rate
    mine = contender.cpu_us(MEMSIDECAR) if contender.name.startswith(MEMSIDECAR) else None
    return [
        contender.name,
        f"{rate.median:,.0f}",
        f"{rate.least:,.0f}-{rate.most:,.0f}",
        *ratio,
        _milliseconds(contender.latency("p50_ms")),
        _milliseconds(contender.latency("p99_ms")),
        NOTHING if mine is None else f"{mine:,.1f}",
        NOTHING if (redis := contender.cpu_us(REDIS)) is None else f"{redis:,.1f}",
        _busy(contender.busy(GENERATOR)),
    ]


def _milliseconds(values: Spread | None) -> str:
    return NOTHING if values is None else f"{values.median:.3f}"


def _ratio(values: Spread) -> list[str]:
    return [f"{values.median:.2f}", f"{values.least:.2f}-{values.most:.2f}"]


def _busy(share: float | None) -> str:
    if share is None:
        return NOTHING
    return f"{share:.0%}{'*' if share >= BUSY_GENERATOR else ''}"


def _notes(result: CaseResult) -> Iterator[str]:
    for one in result.compared():
        comparison = one.comparison
        if comparison.label is not None:
            median, extremes = _ratio(one.spread)
            yield f"{comparison.label}: {median} ({extremes}){_goal(comparison.row, one.verdict)}"
    for figure in result.figures:
        values = figure.spread
        extremes = f"{_number(values.least)}-{_number(values.most)}"
        unit = f" {figure.unit}" if figure.unit else ""
        yield f"{figure.name}: {_number(values.median)} ({extremes}){unit}{_goal(figure.row, figure.verdict)}"


def _goal(row: Row | None, verdict: Verdict) -> str:
    """Return what the scorecard has, for those who look for one figure."""
    if row is None or row.goal is None:
        return ""
    named = (("floor", row.goal.floor), ("aim", row.goal.aim))
    marks = [f"{name} {mark(value, row.goal.direction)}" for name, value in named if value is not None]
    return f"; {', '.join(marks)}: {verdict}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= FEW or value == int(value) else f"{value:.2f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
