"""Counts the instructions per request: `python -m benchmarks.instructions`, or `make bench-instructions`.

Rates and even CPU times of a shared machine are noisy; instructions are not. A real `memsidecar serve` runs under
callgrind with a real Redis, and then a real Redis runs under it and gets the script calls themselves. Each round sends
a short and a long load, and what the long one takes more, divided by the requests that it has more, is the cost of one
request: what a turn of the clock or the count itself takes is in both and cancels.

What it cannot tell: how long an instruction takes, what the kernel does for it, and what a search for garbage adds,
which comes once in thousands of requests and so falls out of the median. Measurements of time are `harness`'s.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, cycle
from pathlib import Path
from time import monotonic

import click
from rich.console import Console
from rich.table import Table

from benchmarks.callgrind import CountedRedis, CountedSidecar, Counting, CountingFailed, Valgrind, find_valgrind
from benchmarks.client import FIRST_NUMBER, LoadFailed
from benchmarks.conversation import messages
from benchmarks.facts import facts
from benchmarks.load import NUMBER, pack
from benchmarks.lockstep import Lockstep
from benchmarks.results import FORMAT
from benchmarks.robust import Spread, spread
from benchmarks.scenario import MEMSIDECAR, many
from benchmarks.scripts import ScriptCalls, load_scripts
from benchmarks.stage import DEFINITION, REDIS, Stage
from sidecar.dev.problems import DevProblem, ProgramMissing

RESULTS = Path(__file__).parent / "results" / "instructions.json"

ROUNDS = 3
"""The median of three passes over one that a search for garbage has hit."""

CONNECTIONS, PIPELINE = 50, 16
"""The larger of the loads that the other scenarios have."""

LONG = 2
"""How many times as many turns the long load has."""

MEMORIES = 1_000
"""Distinct memories that are appended to in turn."""

DIFFERENT = 8_000
"""Messages before the circle begins anew. All of them are sent once before anything is counted, so that connections,
memories, caches and the tokenizer's memory of words are as they are after a while."""

STORED = 1_000
"""Messages of the memory that is read."""

BUDGET_TOKENS, COUNT = 8_000, 200
"""What is read: a budget, and a number of messages."""

LUA_PERIOD = 50
"""Script calls between two steps of Lua's garbage collector that Redis takes: every load has whole periods."""

KEYS = 800
"""Keys that are written by SET."""

READ = "read"
"""The memory that is read; those that are appended to are called by numbers."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is sent to the server that counts.

    Args:
        command: what it is, for its name in the results.
        requests: without end; every round goes on where the last one ended.
        connections, pipeline: that many times `pipeline` requests are sent at once, and then all replies awaited.
        turns: how often, in the short load.
    """

    command: str
    requests: Iterator[bytes]
    connections: int = 1
    pipeline: int = 1
    turns: int = 200

    @property
    def name(self) -> str:
        """The case's name in the results."""
        return f"{self.command}, {many(self.connections)}, pipeline {self.pipeline}"


@dataclass(frozen=True, slots=True)
class Count:
    """Instructions per request of one process, in each round."""

    process: str
    case: str
    parameters: dict[str, int]
    rounds: list[float]

    @property
    def spread(self) -> Spread:
        """The count over the rounds."""
        return spread(self.rounds)


@dataclass(frozen=True, slots=True)
class Run:
    """What is asked of a run.

    Args:
        rounds: of each case.
        told: called with each count as soon as it is there.
        profiles: directory for callgrind's file of the last load of each case; None: they are not kept.
    """

    valgrind: Valgrind
    rounds: int
    told: Callable[[Count], None]
    profiles: Path | None = None


def count_sidecar(run: Run) -> dict[str, object]:
    """Count what memsidecar executes, and return machine and versions.

    Raises:
        DevProblem: a server is missing or does not start.
        CountingFailed, LoadFailed: see there.
    """
    valgrind = run.valgrind.apart(MEMSIDECAR)
    with Stage(make_sidecar=partial(CountedSidecar, valgrind)) as stage:
        _fill(stage)
        appends = cycle(_appends())
        # All connections now: busy for seconds, the sidecar may believe Redis gone, and then it takes no new ones.
        with Lockstep(stage.sidecar.port, connections=CONNECTIONS) as lockstep:
            lockstep.send(appends, pipeline=PIPELINE, turns=DIFFERENT // (CONNECTIONS * PIPELINE))
            counting = Counting(stage.sidecar, valgrind)
            counting.begin()
            for work in _sidecar_works(appends):
                _count(run, MEMSIDECAR, lockstep, counting, work)
        return facts(stage)


def count_redis(run: Run) -> None:
    """Count what Redis executes for one call of a script. Raises what `count_sidecar` raises."""
    valgrind = run.valgrind.apart(REDIS)
    with Stage(make_redis=partial(CountedRedis, valgrind)) as stage:
        _fill(stage)
        load_scripts(stage.redis, "append", "read")
        appends = _numbered(_script_appends(stage))
        with Lockstep(stage.redis_server.port, connections=1) as lockstep:
            lockstep.send(appends, pipeline=PIPELINE, turns=DIFFERENT // PIPELINE)
            counting = Counting(stage.redis_server, valgrind)
            counting.begin()
            for work in _script_works(stage, appends):
                _count(run, REDIS, lockstep, counting, work)


def _sidecar_works(appends: Iterator[bytes]) -> Iterator[Work]:
    read = ("MEMREAD", f"{DEFINITION}:{READ}")
    sets = cycle([pack("SET", f"benchmark:{number:04}", text) for number, text in enumerate(messages(KEYS))])
    yield Work("MEMAPPEND", appends)
    yield Work("MEMAPPEND", appends, connections=CONNECTIONS, pipeline=PIPELINE, turns=1)
    yield Work(f"MEMREAD TOKENS {BUDGET_TOKENS}", cycle([pack(*read, "TOKENS", BUDGET_TOKENS, "PEEK")]), turns=10)
    by_count = pack(*read, "COUNT", COUNT, "FORMAT", "OPENAI", "PEEK")
    yield Work(f"MEMREAD COUNT {COUNT} FORMAT OPENAI", cycle([by_count]), turns=10)
    for pipeline in (1, PIPELINE):
        yield Work("SET, forwarded", sets, connections=CONNECTIONS, pipeline=pipeline, turns=8)


def _script_works(stage: Stage, appends: Iterator[bytes]) -> Iterator[Work]:
    yield Work("append.lua, one message", appends, turns=8 * LUA_PERIOD)
    read = ScriptCalls(0).read(stage.memory(READ), BUDGET_TOKENS)
    yield Work(f"read.lua, {BUDGET_TOKENS} tokens", cycle([read]), turns=2 * LUA_PERIOD)


def _appends() -> list[bytes]:
    texts = messages(DIFFERENT)
    return [
        pack("MEMAPPEND", f"{DEFINITION}:{name}", "user", text) for name, text in zip(_names(), texts, strict=False)
    ]


def _script_appends(stage: Stage) -> list[bytes]:
    calls, texts = ScriptCalls(0), messages(DIFFERENT)
    return [calls.append(stage.memory(name), ("user", text)) for name, text in zip(_names(), texts, strict=False)]


def _names() -> Iterator[str]:
    return cycle(f"{number:06}" for number in range(MEMORIES))


def _numbered(forms: Sequence[bytes]) -> Iterator[bytes]:
    for form, number in zip(cycle(forms), count(FIRST_NUMBER), strict=False):
        yield form.replace(NUMBER, b"%d" % number)


def _fill(stage: Stage) -> None:
    """Store what is read."""
    texts = messages(STORED)
    turns = [word for number, text in enumerate(texts) for word in ("assistant" if number % 2 else "user", text)]
    stage.ask("MEMAPPEND", f"{DEFINITION}:{READ}", *turns)


def _count(run: Run, process: str, lockstep: Lockstep, counting: Counting, work: Work) -> None:
    def cost(turns: int) -> tuple[int, int]:
        requests = lockstep.send(work.requests, pipeline=work.pipeline, turns=turns, connections=work.connections)
        return requests, counting.instructions()

    rounds: list[float] = []
    cost(1)  # The first request of a kind takes other paths, and what came before belongs to no case.
    for _ in range(run.rounds):
        (fewer, short), (more, long) = cost(work.turns), cost(work.turns * LONG)
        rounds.append((long - short) / (more - fewer))
    if run.profiles is not None and counting.profile is not None:
        run.profiles.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.]+", "-", f"{process} {work.name}.callgrind")
        shutil.copy(counting.profile, run.profiles / name)
    parameters = {"connections": work.connections, "pipeline": work.pipeline}
    run.told(Count(process, work.name, parameters, rounds))


def to_json(counts: Sequence[Count], known: dict[str, object], *, rounds: int, seconds: float) -> str:
    """Return a result file as `results` writes it, with counts in place of cases."""
    content = {
        "format": FORMAT,
        "facts": known,
        "parameters": {"rounds": rounds},
        "seconds": seconds,
        "cases": [],
        "instructions": [asdict(one) | {"spread": asdict(one.spread)} for one in counts],
    }
    return json.dumps(content, indent=1) + "\n"


def table(counts: Sequence[Count]) -> Table:
    """Return the counts as rich shows them: medians of all rounds, minimum and maximum."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    shown.add_column("process")
    shown.add_column("case")
    for heading in ("instructions per request", "min-max"):
        shown.add_column(heading, justify="right")
    for one in counts:
        values = one.spread
        shown.add_row(one.process, one.case, f"{values.median:,.0f}", f"{values.least:,.0f}-{values.most:,.0f}")
    return shown


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Rounds of each case.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS, help="JSON file to write.")
@click.option(
    "--profiles",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for what callgrind_annotate or KCachegrind can show of each case.",
)
def main(rounds: int, output: Path, profiles: Path | None) -> None:
    """Count the instructions per request of memsidecar, and of Redis for its scripts.

    Needs valgrind. Without it nothing is counted and a message says so; that is no error.
    """
    begun = monotonic()
    counts: list[Count] = []

    def told(one: Count) -> None:
        counts.append(one)
        click.echo(f"{one.process}: {one.case}: {one.spread.median:,.0f}", err=True)

    with tempfile.TemporaryDirectory(prefix="memsidecar-count-") as directory:
        try:
            valgrind = find_valgrind(Path(directory))
        except ProgramMissing as problem:
            click.echo(f"Instructions are left out: {problem}", err=True)
            return
        run = Run(valgrind, rounds, told, profiles)
        try:
            known = count_sidecar(run)
            count_redis(run)
        except (DevProblem, CountingFailed, LoadFailed) as problem:
            raise click.ClickException(str(problem)) from problem
    seconds = round(monotonic() - begun, 1)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(to_json(counts, known, rounds=rounds, seconds=seconds), encoding="utf-8")
    Console().print(table(counts))
    click.echo(f"Every round is in {output}; the run took {seconds:g} s.")


if __name__ == "__main__":
    main()
