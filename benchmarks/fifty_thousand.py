"""`python -m benchmarks.fifty_thousand`: 50,000 messages go through 200 small memories, and none is lost.

No measurement but a demonstration: it starts `memsidecar dev` on free ports, or uses one that runs, appends from
several clients while flushes run, waits until no memory is due, and then lets four witnesses tell what happened: the
acknowledgements, the memories on Redis, /metrics, and Temporal. They must tell the same story; otherwise the exit code
is 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NoReturn
from uuid import uuid4

import click
import redis.asyncio
from rich.console import Console
from rich.table import Table

from benchmarks.accounts import SYSTEM, Accounts, Audit
from benchmarks.conversation import messages
from benchmarks.flush_stage import Engine, engines
from benchmarks.scrape import Scrape
from benchmarks.stage import run
from benchmarks.temporal_runs import flush_runs
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.problems import DevProblem
from sidecar.dev.processes import ChildProcess
from sidecar.memory.keys import KeySpace

DEFINITION = "demo"

DEFINITIONS = f"""definitions:
  - id: {DEFINITION}
    max_tokens: 3000       # some 50 messages of 250 bytes
    flush: {{strategy: hybrid_summary, threshold: 0.8, target: 0.4, summary_tokens: 300}}
"""

DIFFERENT_TEXTS = 5_000
"""After these the circle begins anew."""

PAIR_SHARE = 0.3
"""Of the appends bring two messages, as a turn with its answer does."""

CALM_LIMIT_S = 300.0
"""Most time from the last append until no memory is due any more."""

POLL_S = 0.1
"""Between two looks whether that is so."""

CALM_LOOKS = 3
"""Looks in a row that find nothing. One could fall between a mark and the run that serves it."""

SHOWN_PROBLEMS = 20
"""More contradictions are only counted."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything listens; `temporal` is None where the local engine runs the flushes."""

    sidecar: str
    redis: str
    metrics: str
    temporal: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """What all witnesses tell.

    Args:
        audit: acknowledgements and memories.
        appended: messages stored, by /metrics.
        removed, flushes, failed: messages that flushes removed, flushes that were made and that failed: by Temporal
            where it runs them, else by /metrics.
        started: runs that Temporal has; None without it.
        triggers: due marks, by what became of them (/metrics).
        marks: memories that are due or being flushed after all the waiting.
        append_s, calm_s: how long the appends took, and how long after them a memory was still due.
    """

    audit: Audit
    appended: int
    removed: int
    flushes: int
    failed: int
    started: int | None
    triggers: dict[str, int]
    marks: int
    append_s: float
    calm_s: float

    def contradictions(self) -> list[str]:
        """Return where they differ; nothing if all is well."""
        found = list(self.audit.problems)
        checks = {
            f"{self.audit.appended} messages were acknowledged, /metrics counts {self.appended}": self.audit.appended
            == self.appended,
            f"{self.audit.stored} messages are stored and {self.audit.summarised} summarised, of "
            f"{self.audit.appended}": self.audit.stored + self.audit.summarised == self.audit.appended,
            f"the memories say that {self.audit.summarised} messages were removed, the engine {self.removed}": (
                self.audit.summarised == self.removed
            ),
            f"{self.marks} memories are still due": self.marks == 0,
            f"{self.failed} flushes failed": self.failed == 0,
            "nothing was flushed at all": self.flushes > 0,
            # A start whose answer was lost is counted as failed, and may have begun.
            f"/metrics counts {self.triggers.get('started', 0)} started flushes, Temporal has {self.started}": (
                self.started in (None, self.triggers.get("started", 0)) or self.triggers.get("failed", 0) > 0
            ),
        }
        return found + [problem for problem, holds in checks.items() if not holds]


class Dev(ChildProcess):
    """`memsidecar dev` on free ports, which starts a Redis and, for that engine, a Temporal and a worker."""

    ready_limit_s = 60.0
    stop_limit_s = 60.0
    ready_sign = "it did not show its banner"

    def __init__(self, engine: Engine, directory: Path) -> None:
        super().__init__("dev", env={"PYTHONUNBUFFERED": "1", "COLUMNS": "200"})
        self._engine = engine
        self._definitions = directory / "definitions.yaml"
        self._definitions.write_text(DEFINITIONS, encoding="utf-8")
        self._port, self._metrics_port, self._redis_port = free_port(), free_port(), free_port()

    def command(self) -> Sequence[str | Path]:
        return [
            sys.executable, "-m", "sidecar", "dev", "--engine", self._engine, "--definitions", self._definitions,
            "--port", str(self._port), "--metrics-port", str(self._metrics_port), "--redis-port", str(self._redis_port),
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return self.has_printed("Ctrl-C stops everything")

    @property
    def places(self) -> Places:
        """Where it listens. Temporal has its usual port or a free one, so the banner is asked."""
        rows = (line.split() for line in self.tail())
        temporal = next((row[1] for row in rows if row[:1] == ["Temporal"]), None)
        return Places(
            f"redis://{LOOPBACK}:{self._port}/0",
            f"redis://{LOOPBACK}:{self._redis_port}/0",
            f"http://{LOOPBACK}:{self._metrics_port}/metrics",
            temporal,
        )


async def demonstrate(places: Places, *, count: int, memories: int, clients: int, definition: str) -> Story:
    """Append `count` messages to `memories` new memories from `clients` connections, and hear all witnesses.

    Nobody else may append or flush meanwhile.
    """
    space = KeySpace()
    accounts = Accounts(space)
    tag = uuid4().hex[:8]
    names = [f"{definition}:{tag}-{number}" for number in range(memories)]
    before = await asyncio.to_thread(Scrape, places.metrics)
    direct, sidecar = _client(places.redis), _client(places.sidecar)
    async with direct, sidecar:
        begun = time.monotonic()
        shares = [count // clients + (number < count % clients) for number in range(clients)]
        async with asyncio.TaskGroup() as group:
            for number, share in enumerate(shares):
                group.create_task(_append(places.sidecar, accounts, names[number::clients], names, share, number))
        appended = time.monotonic()
        marks = await _calm(accounts, direct)
        calm = time.monotonic()
        audit = await accounts.audit(direct, sidecar)
    after = await asyncio.to_thread(Scrape, places.metrics)

    def more(name: str, **labels: str) -> int:
        return round(after.total(name, **labels) - before.total(name, **labels))

    triggers = {
        outcome: more("memsidecar_flush_triggers_total", outcome=outcome)
        for outcome in after.by("memsidecar_flush_triggers_total", "outcome")
    }
    if places.temporal is None:
        removed = more("memsidecar_flush_messages_freed_total")
        done, failed = (more("memsidecar_flush_runs_total", outcome=outcome) for outcome in ("done", "failed"))
        started = None
    else:
        runs = await flush_runs(places.temporal, space.keys(definition, tag).name)
        removed, done, started = runs.removed, runs.by_outcome["done"], runs.by_status.total()
        failed = started - runs.by_status["COMPLETED"]
    return Story(
        audit=audit,
        appended=more("memsidecar_messages_appended_total"),
        triggers=triggers,
        marks=marks,
        append_s=appended - begun,
        calm_s=calm - appended,
        removed=removed,
        flushes=done,
        failed=failed,
        started=started,
    )


async def _append(
    url: str, accounts: Accounts, mine: Sequence[str], everybodys: Sequence[str], count: int, seed: int
) -> None:
    """Append `count` messages from one connection: a system message to `mine`, then turns to `everybodys`."""
    random, texts = Random(seed), messages(DIFFERENT_TEXTS)
    async with _client(url) as client:
        for memory in mine[:count]:
            ids = await _ids(client, memory, SYSTEM, f"You are the support desk of {memory}.")
            accounts.acknowledge(memory, *ids, protected=True)
        left = count - len(mine[:count])
        while left > 0:
            turns = ["user", random.choice(texts)]
            if left > 1 and random.random() < PAIR_SHARE:
                turns += ["assistant", random.choice(texts)]
            memory = random.choice(everybodys)
            accounts.acknowledge(memory, *await _ids(client, memory, *turns))
            left -= len(turns) // 2


def _client(url: str) -> redis.asyncio.Redis:
    # RESP3, so that maps are maps. One connection, so that it is one client.
    return redis.asyncio.Redis.from_url(url, decode_responses=True, protocol=3, single_connection_client=True)


async def _ids(client: redis.asyncio.Redis, memory: str, *turns: str) -> list[str]:
    reply: Any = await client.execute_command("MEMAPPEND", memory, *turns)  # type: ignore[no-untyped-call]
    return [reply["first-id"]] if len(turns) == 2 else [reply["first-id"], reply["last-id"]]


async def _calm(accounts: Accounts, direct: redis.asyncio.Redis) -> int:
    """Wait until no memory is due and none is being flushed; return how many still are after `CALM_LIMIT_S`."""
    looks, busy, deadline = 0, 0, time.monotonic() + CALM_LIMIT_S
    while looks < CALM_LOOKS and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        busy = await accounts.marks(direct) + await accounts.flushes_under_way(direct)
        looks = 0 if busy else looks + 1
    return busy


def _table(engine: str, story: Story) -> Table:
    audit = story.audit
    table = Table(title=f"Flushes by {engine}", title_justify="left", box=None)
    table.add_column("")
    for witness in ("clients", "memories", "/metrics", "Temporal"):
        table.add_column(witness, justify="right")
    temporal = engine == "temporal"
    engines_word = (["", f"{story.removed:,}"], ["", f"{story.flushes:,}"], ["", f"{story.failed:,}"])
    removed, flushes, failed = engines_word if temporal else [list(reversed(cells)) for cells in engines_word]
    stored, total = f"{audit.stored:,}", f"{audit.stored + audit.summarised:,}"
    table.add_row("appended", f"{audit.appended:,}", total, f"{story.appended:,}", "")
    table.add_row("  still stored", "", stored, "", "")
    table.add_row("  in summaries", "", f"{audit.summarised:,}", *removed)
    if story.started is not None:
        table.add_row("started", "", "", f"{story.triggers.get('started', 0):,}", f"{story.started:,}")
    table.add_row("flushes", "", "", *flushes)
    table.add_row("  failed", "", "", *failed)
    table.add_row("still due", "", f"{story.marks:,}", "", "")
    return table


def _show(engine: str, story: Story) -> bool:
    """Print the story; return whether nothing contradicts it."""
    out = Console(width=100)
    out.print(_table(engine, story))
    rate = story.audit.appended / story.append_s
    seen = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(story.triggers.items()))
    out.print(f"{rate:,.0f} messages/s appended; nothing due {story.calm_s:.1f} s after the last one. Marks: {seen}.")
    problems = story.contradictions()
    for problem in problems[:SHOWN_PROBLEMS]:
        out.print(f"  WRONG: {problem}", style="red", highlight=False)
    verdict = f"{len(problems)} contradictions." if problems else "Every acknowledged message is accounted for."
    out.print(verdict, style="bold red" if problems else "bold green")
    return not problems


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--messages", "count", type=click.IntRange(min=1), default=50_000, show_default=True)
@click.option("--memories", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--clients", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--engine", type=click.Choice(["local", "temporal"]), help="Only with this one [both, if they are there]."
)
@click.option("--sidecar", metavar="URL", help="Use this memsidecar instead of starting one; needs --redis.")
@click.option("--redis", "redis_url", metavar="URL", help="The Redis behind it.")
@click.option("--metrics", metavar="URL", default=f"http://{LOOPBACK}:9464/metrics", show_default=True)
@click.option("--temporal", metavar="HOST:PORT", help="The Temporal that runs its flushes [its own local engine].")
@click.option("--definition", default=DEFINITION, show_default=True, help="Of the new memories; with small limits.")
def main(
    count: int,
    memories: int,
    clients: int,
    engine: Engine | None,
    sidecar: str | None,
    redis_url: str | None,
    metrics: str,
    temporal: str | None,
    definition: str,
) -> None:
    """Show that memories that are flushed all the time lose nothing. Starts `memsidecar dev` itself."""
    signal.signal(signal.SIGTERM, _end)
    wish = {"count": count, "memories": memories, "clients": clients}
    if sidecar is not None:
        if redis_url is None:
            raise click.UsageError("--sidecar needs --redis, the URL of the Redis behind it, to look at the memories")
        places = Places(sidecar, redis_url, metrics, temporal)
        story = asyncio.run(demonstrate(places, definition=definition, **wish))
        stories = [_show("temporal" if temporal else "local", story)]
    else:
        try:
            # A list: the second engine is shown too where the first one's story does not hold.
            stories = [_with_dev(each, wish) for each in engines() if engine in (None, each)]
        except DevProblem as problem:
            raise click.ClickException(str(problem)) from problem
    sys.stdout.flush()
    # Temporal's library and the interpreter's own farewell do not always agree.
    os._exit(0 if all(stories) else 1)


def _with_dev(engine: Engine, wish: dict[str, int]) -> bool:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memsidecar-demo-")))
        dev = run(stack, Dev(engine, directory))
        return _show(engine, asyncio.run(demonstrate(dev.places, definition=DEFINITION, **wish)))


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
