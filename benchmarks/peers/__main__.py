"""The command line of the comparison: `python -m benchmarks.peers`, or `make bench-peers ARGS="…"`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.__main__ import Bar
from benchmarks.client import LoadFailed
from benchmarks.harness import Options
from benchmarks.peers.catalogue import LEFT_OUT, PEERS
from benchmarks.peers.crew import PeerFailed, PeerMissing
from benchmarks.peers.runner import run
from benchmarks.peers.tables import for_markdown, for_terminal
from benchmarks.peers.work import WRITERS
from sidecar.dev.problems import DevProblem

RESULTS = Path(__file__).parents[1] / "results" / "peers.json"

ROUNDS, SECONDS = 3, 2.0

MIN_WIDTH = 200
"""Columns of the tables: what is guaranteed is said in words. A narrower terminal wraps lines."""

NAMES = {peer.environment: peer for peer in PEERS if peer.environment is not None}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--peer", "chosen", multiple=True, type=click.Choice(list(NAMES)), help="Only this; repeatable.")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Rounds of each case.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.01), default=SECONDS, show_default=True, help="Length of a measurement."
)
@click.option(
    "--writers", type=click.IntRange(min=2), default=WRITERS, show_default=True, help="Processes on one memory."
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS, help="JSON file to write.")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file to write.")
@click.option("--list", "listing", is_flag=True, help="List the peers, and who is left out and why.")
def main(
    chosen: tuple[str, ...],
    rounds: int,
    seconds: float,
    writers: int,
    output: Path,
    markdown: Path | None,
    listing: bool,
) -> None:
    """Measure memsidecar against other libraries' memories on Redis. It starts and stops all servers itself."""
    if listing:
        for name, peer in NAMES.items():
            click.echo(f"{name:<16} {peer.name}: {peer.source}")
        for each in LEFT_OUT:
            click.echo(f"{'(left out)':<16} {each.name}: {each.why}")
        return
    signal.signal(signal.SIGTERM, _end)  # so that everything is stopped, and not only when Ctrl-C is pressed
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    peers = [peer for name, peer in NAMES.items() if not chosen or name in chosen]
    options = Options(scenarios=[], rounds=rounds, seconds=seconds)
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            report = run(peers, options, Bar(progress), writers=writers)
    except (DevProblem, LoadFailed, PeerFailed, PeerMissing, TimeoutError) as problem:
        raise click.ClickException(str(problem)) from problem
    report.write(output)
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(for_markdown(report), encoding="utf-8")
    out = Console()
    Console(width=max(out.width, MIN_WIDTH)).print(for_terminal(report))
    click.echo(f"Every round is in {output}; the run took {report.report.seconds:g} s.")


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
