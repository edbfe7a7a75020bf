"""Draws main panels of the dashboard from what a real Prometheus has seen: `python -m tests.monitoring.picture`.

Redis, sidecar, a stand-in for a model, and Prometheus run for a minute, with the load of `life`; then the panels' own
queries are asked, and drawn. It is what the dashboard shows, not how Grafana shows it. `make dashboard` writes
docs/dashboard.svg.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from sidecar.dev.binaries import find_redis_server
from tests.monitoring.chart import Line, page, panel
from tests.monitoring.panels import ROWS, Panel
from tests.monitoring.prometheus import INTERVAL_S, Series
from tests.monitoring.stage import WINDOW_S, Stage, asked, staged
from tests.support.children import Children

OUTPUT = Path(__file__).resolve().parents[2] / "docs/dashboard.svg"

SHOWN = (
    ("Requests", "MEM commands"),
    ("Requests", "Duration of MEM commands, p99"),
    ("Requests", "Duration of forwarded commands"),
    ("Requests", "Round trips to Redis of MEM commands"),
    ("Requests", "Event loop lag"),
    ("Memories", "Read: tokens"),
    ("Flushes", "Flushes"),
    ("Flushes", "Duration of flushes"),
    ("Cost of summaries", "Cost per hour"),
    ("Cost of summaries", "Calls, failures, fallbacks"),
)
"""Row and title of what is drawn."""

SECONDS = 60.0
PAUSE_S = 0.25
"""Between two rounds of the load: some 200 commands a second."""


def chosen() -> list[Panel]:
    """Return the panels of `SHOWN`."""
    known = {(row.title, each.title): each for row in ROWS for each in row.panels}
    return [known[place] for place in SHOWN]


def called(name: str, labels: dict[str, str]) -> str:
    """Return what Grafana calls a series: `name` with the values of its labels."""
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return name


def lines_of(each: Panel, answers: list[list[Series]]) -> list[Line]:
    """Return the lines of a panel; `answers` are those of its queries."""
    return [
        Line(called(query.name, dict(series.labels)), series.points)
        for query, answer in zip(each.queries, answers, strict=True)
        for series in answer
        if series.points
    ]


def drawn(stage: Stage, start: float, end: float) -> str:
    """Return the picture of what Prometheus has seen between two times."""
    panels = []
    for each in chosen():
        answers = [stage.prometheus.between(asked(query), start, end, INTERVAL_S) for query in each.queries]
        panels.append(panel(each.title, each.unit, lines_of(each, answers), start, end))
    return page(panels, f"memsidecar under a small load, {end - start:.0f} seconds")


async def play(program: Path, seconds: float, directory: Path) -> str:
    """Play for a while, and return the picture."""
    children = Children()
    try:
        async with staged(children, find_redis_server(), program, directory) as stage:
            begun = time.time()
            # Rates of the first seconds would look back to a time when nothing ran.
            await stage.life.live(until=lambda: time.time() > begun + WINDOW_S + seconds, pause_s=PAUSE_S)
            return await asyncio.to_thread(drawn, stage, begun + WINDOW_S, time.time())
    finally:
        with contextlib.redirect_stdout(None):  # their last lines are for tests that fail
            children.stop_all()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(min=5), default=SECONDS, show_default=True, help="Time that is drawn.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=OUTPUT, help=f"[{OUTPUT}]")
def main(seconds: float, output: Path) -> None:
    """Run a small load, and draw the dashboard's main panels."""
    program = shutil.which("prometheus")
    if program is None:
        raise click.ClickException(
            "prometheus is not on PATH (Debian: apt install prometheus; macOS: brew install prometheus)"
        )
    with TemporaryDirectory(prefix="memsidecar-") as directory:
        picture = asyncio.run(play(Path(program), seconds, Path(directory)))
    output.write_text(picture, encoding="utf-8")
    click.echo(output)


if __name__ == "__main__":
    main()
