"""The scorecard of a run: every promise, what was measured for it, and whether it is kept.

It stands at the head of the tables and of the JSON. `python -m benchmarks.scorecard [FILE]` prints that of an earlier
run as Markdown, for docs/speed.md. What the rows are is in `rows`; how figures come to be is no business of this.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.goals import Direction, Verdict
from benchmarks.rows import RATIO, ROWS, Row

if TYPE_CHECKING:
    from benchmarks.results import CaseResult
    from benchmarks.robust import Spread

HEADINGS = ("", "compared with", "median", "min-max", "floor", "aim", "verdict")

NOTHING = "-"

FEW, VERY_FEW = 100, 1
"""Numbers below these are shown with two and with three decimals, unless they are whole."""

METHOD = (
    "All contenders of a row are measured in one run, in turn, round after round, and a ratio is taken within each "
    "round, so what slows the machine slows both; shown are the median, the least and the most of the rounds, and how "
    "the median stands to what must hold (floor) and to what is hoped for (aim). Messages have 250 bytes and go to "
    "distinct memories where nothing else is said; flushed are 100,000 of them."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row with its figure; plain values, as the JSON has them.

    Args:
        row, against, unit, direction, floor, aim: see `rows.Row` and `goals.Goal`; None where there is no goal.
        scenario, case: where the figure comes from.
        median, least, most: over the rounds.
    """

    row: str
    against: str
    unit: str
    direction: Direction | None
    floor: float | None
    aim: float | None
    scenario: str
    case: str
    median: float
    least: float
    most: float
    verdict: Verdict


def scorecard(cases: list[CaseResult]) -> list[Line]:
    """Return a line for each row that was measured, in the order of `ROWS`.

    Raises:
        ValueError: two figures claim the same row, or one has a row that is not among `ROWS`.
    """
    found: dict[Row, Line] = {}
    for result in cases:
        for row, values, verdict in _placed(result):
            if row in found or row not in ROWS:
                raise ValueError(f"'{row.name}' is claimed twice, or no row of the scorecard")
            found[row] = _line(row, result, values, verdict)
    return [found[row] for row in ROWS if row in found]


def unmeasured(lines: list[Line]) -> list[str]:
    """Return the names of the rows that a run has not measured, each once."""
    measured = {(line.row, line.against) for line in lines}
    return list(dict.fromkeys(_title(row.name, row.against) for row in ROWS if (row.name, row.against) not in measured))


def cells(line: Line) -> list[str]:
    """Return what stands below `HEADINGS`."""
    unit = "" if line.unit == RATIO or not line.unit else f" {line.unit}"
    return [
        line.row,
        line.against or NOTHING,
        f"{_number(line.median)}{unit}",
        f"{_number(line.least)}-{_number(line.most)}",
        mark(line.floor, line.direction),
        mark(line.aim, line.direction),
        NOTHING if line.verdict == "no goal" else line.verdict,
    ]


def markdown(lines: list[Line]) -> str:
    """Return the scorecard as a Markdown table with its method, ready for docs/speed.md."""
    right = {"median", "min-max", "floor", "aim"}
    table = [list(HEADINGS), ["---:" if heading in right else "---" for heading in HEADINGS], *map(cells, lines)]
    text = [f"| {' | '.join(row)} |" for row in table]
    if missing := unmeasured(lines):
        text += ["", f"Not measured in this run: {'; '.join(missing)}."]
    return "\n".join([*text, "", METHOD]) + "\n"


def mark(value: float | None, direction: Direction | None) -> str:
    """Return a floor or an aim as it is shown; None is no mark."""
    return NOTHING if value is None else f"{'≥' if direction == 'at least' else '≤'} {value:g}"


def from_json(content: dict[str, Any]) -> list[Line]:
    """Return the scorecard of a run that was written as JSON.

    Raises:
        ValueError: the file is of a format without one.
    """
    if "scorecard" not in content:
        raise ValueError(f"a result of format {content.get('format')} has no scorecard; run the benchmarks again")
    return [Line(**line) for line in content["scorecard"]]


def _placed(result: CaseResult) -> Iterator[tuple[Row, Spread, Verdict]]:
    for one in result.compared():
        if one.comparison.row is not None:
            yield one.comparison.row, one.spread, one.verdict
    for figure in result.figures:
        if figure.row is not None:
            yield figure.row, figure.spread, figure.verdict


def _line(row: Row, result: CaseResult, values: Spread, verdict: Verdict) -> Line:
    goal = row.goal
    return Line(
        row=row.name,
        against=row.against,
        unit=row.unit,
        direction=goal.direction if goal else None,
        floor=goal.floor if goal else None,
        aim=goal.aim if goal else None,
        scenario=result.case.scenario,
        case=result.case.name,
        median=values.median,
        least=values.least,
        most=values.most,
        verdict=verdict,
    )


def _title(name: str, against: str) -> str:
    return f"{name} ({against})" if against else name


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= FEW:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= VERY_FEW else f"{value:.3f}"


def main() -> None:
    """Print the scorecard of a result as Markdown."""
    default = Path(__file__).parent / "results" / "latest.json"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    try:
        print(markdown(from_json(json.loads(path.read_text(encoding="utf-8")))), end="")
    except (OSError, ValueError) as problem:
        raise SystemExit(f"{path}: {problem}") from problem


if __name__ == "__main__":
    main()
