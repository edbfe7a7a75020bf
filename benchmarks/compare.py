"""The command line that holds two runs of the benchmarks against each other: `python -m benchmarks.compare OLD NEW`.

Names what lost, what won, and what is in one file only; exit code 1 when something lost, 2 when a file cannot be used.
The rule is in `verdicts`; this module only shows. It measures nothing and starts nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.result_file import Key, Kind, ResultFile, Series, UnusableFile, read_results
from benchmarks.robust import spread
from benchmarks.verdicts import Finding, Verdict, findings

EXIT_LOST, EXIT_UNUSABLE = 1, 2

MACHINE = ("processor", "cores", "system")
"""Facts that make up a machine. Ratios travel between machines in part; CPU times and instructions do not."""

VERSIONS = ("python", "redis", "token_engine", "packages")
"""Facts that change figures without a change of memsidecar."""

MIN_WIDTH = 120
"""Columns of the table. A narrower terminal wraps lines, which is easier to read than cells of three letters."""

NOTHING = "-"

WHOLE = 100
"""Numbers from here on are shown without decimals."""

_STYLES = {
    Verdict.LOST: "bold red",
    Verdict.WON: "green",
    Verdict.UNCLEAR: "yellow",
    Verdict.ALIKE: "dim",
    Verdict.OTHER_WORK: "magenta",
    Verdict.ONLY_OLD: "magenta",
    Verdict.ONLY_NEW: "magenta",
}
"""In the order in which they are shown: what somebody must act on comes first."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def main(old: Path, new: Path) -> None:
    """Hold the results NEW against the results OLD, two files that `make bench` or `make bench-instructions` wrote.

    Exit code 0: nothing lost; 1: something lost more than the noise; 2: a file cannot be used.
    """
    try:
        before, after = read_results(old), read_results(new)
    except UnusableFile as problem:
        click.echo(str(problem), err=True)
        raise SystemExit(EXIT_UNUSABLE) from None
    for warning in warnings(before, after):
        click.echo(f"warning: {warning}", err=True)
    found = list(findings(before, after))
    out = Console()
    Console(width=max(out.width, MIN_WIDTH)).print(table(found))
    counts = Counter(finding.verdict for finding in found)
    click.echo("; ".join(f"{counts[verdict]} {verdict.value}" for verdict in _STYLES if counts[verdict]) + ".")
    raise SystemExit(EXIT_LOST if counts[Verdict.LOST] else 0)


def warnings(old: ResultFile, new: ResultFile) -> Iterator[str]:
    """Return what makes the two files less than comparable."""
    for names, consequence in (
        (MACHINE, "measured on different machines: CPU times and instructions do not compare, ratios only roughly"),
        (VERSIONS, "measured with different versions, which have a share in every difference"),
    ):
        differing = [
            f"{name}: {old.facts[name]} and {new.facts[name]}"
            for name in names
            if name in old.facts and name in new.facts and old.facts[name] != new.facts[name]
        ]
        if differing:
            yield f"{consequence} ({'; '.join(differing)})"


def table(found: Sequence[Finding]) -> Table:
    """Return the findings as rich shows them: by verdict, and the largest change of each first."""
    order = list(_STYLES)
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("", "left"), ("case", "left"), ("what", "left")):
        shown.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for heading in ("old", "new", "change"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for finding in sorted(found, key=lambda one: (order.index(one.verdict), -abs(one.change or 0.0))):
        shown.add_row(*map(Text, _row(finding)), style=_STYLES[finding.verdict])
    return shown


def _row(finding: Finding) -> list[str]:
    key: Key = finding.key
    change = NOTHING if finding.change is None else f"{finding.change:+.1%}"
    return [
        finding.verdict.value,
        f"{key.scenario}: {key.case}",
        key.what,
        _values(finding.old),
        _values(finding.new),
        change,
    ]


def _values(series: Series | None) -> str:
    """Return median, minimum and maximum of the rounds."""
    if series is None:
        return NOTHING
    values = spread(series.rounds)
    if series.kind is Kind.INSTRUCTIONS:
        return f"{values.median:,.0f}"
    unit = f" {series.unit}" if series.unit else ""
    return f"{_number(values.median)} ({_number(values.least)}-{_number(values.most)}){unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.3g}"


if __name__ == "__main__":
    main()
