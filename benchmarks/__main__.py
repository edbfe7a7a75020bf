"""The command line of the benchmarks: `python -m benchmarks`, or `make bench ARGS="…"`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import NoReturn, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.client import LoadFailed
from benchmarks.harness import SCENARIOS, GeneratorChoice, Options, run
from benchmarks.plot import draw
from benchmarks.tables import for_markdown, for_terminal
from sidecar.dev.problems import DevProblem

RESULTS = Path(__file__).parent / "results" / "latest.json"

ROUNDS, SECONDS = 5, 2.0
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.3
MESSAGES, QUICK_MESSAGES = 100_000, 10_000
MEMORIES, QUICK_MEMORIES = 2_000, 200

MIN_WIDTH = 120
"""Columns of the tables. A narrower terminal wraps lines, which is easier to read than cells of three letters."""


class Bar:
    """Shows how far a run has come (a `harness.Progress`)."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting the servers", total=None)

    def begin(self, measurements: int) -> None:
        self._progress.update(self._task, total=measurements)

    def case(self, name: str) -> None:
        self._progress.update(self._task, description=name)

    def advance(self) -> None:
        self._progress.advance(self._task)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--scenario", "scenarios", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only this; repeatable."
)
@click.option("--rounds", type=click.IntRange(min=1), help=f"Rounds of each case [{ROUNDS}].")
@click.option("--seconds", type=click.FloatRange(min=0.01), help=f"Length of each measurement [{SECONDS:g}].")
@click.option(
    "--quick",
    is_flag=True,
    help=f"{QUICK_ROUNDS} rounds of {QUICK_SECONDS:g} s, and no memory of a million messages: a first impression.",
)
@click.option(
    "--messages",
    type=click.IntRange(min=1_000),
    help=f"Messages of the memory that `flush-latency` flushes [{MESSAGES:,}; with --quick {QUICK_MESSAGES:,}].",
)
@click.option(
    "--memories",
    type=click.IntRange(min=1),
    help=f"Memories that are due at once in `flush-storm` [{MEMORIES:,}; with --quick {QUICK_MEMORIES:,}].",
)
@click.option(
    "--generator",
    type=click.Choice(["auto", "own", "redis-benchmark"]),
    default="auto",
    show_default=True,
    help="Who generates the load of `forward`; auto: our own and, where it is installed, redis-benchmark too.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=RESULTS,
    help="JSON file to write, with an SVG beside it.",
)
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file to write.")
@click.option("--list", "listing", is_flag=True, help="List the scenarios.")
def main(
    scenarios: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    messages: int | None,
    memories: int | None,
    generator: str,
    output: Path,
    markdown: Path | None,
    listing: bool,
) -> None:
    """Measure memsidecar against the same work on Redis directly. It starts and stops all servers itself."""
    if listing:
        for name, text in SCENARIOS.items():
            click.echo(f"{name:<14} {text}")
        return
    picture = output.with_suffix(".svg")
    if picture == output:
        raise click.BadParameter(f"{output} would be the picture; name the JSON file", param_hint="--output")
    options = Options(
        scenarios=[name for name in SCENARIOS if not scenarios or name in scenarios],
        rounds=rounds or (QUICK_ROUNDS if quick else ROUNDS),
        seconds=seconds or (QUICK_SECONDS if quick else SECONDS),
        generator=cast("GeneratorChoice", generator),
        messages=messages or (QUICK_MESSAGES if quick else MESSAGES),
        memories=memories or (QUICK_MEMORIES if quick else MEMORIES),
        huge=not quick,
    )
    # So that the servers are stopped, and not only when Ctrl-C is pressed.
    signal.signal(signal.SIGTERM, _end)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            report = run(options, Bar(progress))
    except (DevProblem, LoadFailed, TimeoutError) as problem:
        raise click.ClickException(str(problem)) from problem
    report.write(output)
    picture.write_text(draw(json.loads(report.to_json())), encoding="utf-8")
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(for_markdown(report), encoding="utf-8")
    out = Console()
    Console(width=max(out.width, MIN_WIDTH)).print(for_terminal(report))
    click.echo(f"Every round is in {output}, a picture of the ratios in {picture}; the run took {report.seconds:g} s.")


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
