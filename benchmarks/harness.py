"""Runs cases: every round measures all contenders one after the other, so that a slow minute hits all of them.

The counterparts are the scenarios, which say what there is to measure, and `__main__`, which asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal, Protocol

from benchmarks.append import append_cases
from benchmarks.ceiling import ceiling_cases
from benchmarks.chat import chat_cases
from benchmarks.contention import contention_cases
from benchmarks.counting import counting_cases
from benchmarks.facts import facts
from benchmarks.flush_latency import measure_flush_latency
from benchmarks.flush_stage import Engine, engines
from benchmarks.flush_storm import measure_flush_storm
from benchmarks.forward import forward_cases
from benchmarks.read import read_cases
from benchmarks.redis_benchmark import maybe_find_redis_benchmark
from benchmarks.resident import PHASES as RESIDENT_PHASES
from benchmarks.resident import SCENARIO as RESIDENT
from benchmarks.resident import measure_resident
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.scenario import Case
from benchmarks.stage import Stage
from benchmarks.workers import workers_cases
from sidecar.dev.problems import ProgramMissing

GeneratorChoice = Literal["auto", "own", "redis-benchmark"]

SCENARIOS = {
    "ceiling": "the load generator's own limit: PING to Redis",
    "append": "MEMAPPEND against the same script on Redis, and against RPUSH",
    "contention": "MEMAPPEND of 8 and of 100 writers to one memory, whose log is counted afterwards",
    "counting": "memsidecar's token counts against tiktoken's, in one process",
    "read": "MEMREAD within a budget of tokens, from 1,000, 100,000 and 1,000,000 messages",
    "chat": "MEMREAD of 200 messages as JSON for a model's API, against LRANGE of the same bytes",
    "forward": "SET, GET, RPUSH through the sidecar, straight to Redis, and through HAProxy where it is installed",
    "workers": "MEMAPPEND and SET through a sidecar of one process, and through one with two workers",
    "resident": "memory at rest and per idle connection, and the time until ready, against tiktoken alone",
    "flush-latency": "appends and reads while a large memory is flushed, against the same without a flush",
    "flush-storm": "thousands of memories that are due within a second: how long, and at what cost",
}
"""What there is to run, in this order."""

MAX_WARM_UP_S = 0.5
"""Connections, caches and the tokenizer's memory of words are warm after that."""

WARM_UP_SHARE = 0.25
"""Of the measurement, where that is short."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run.

    Args:
        scenarios: names of `SCENARIOS`.
        rounds: how often each contender is measured.
        seconds: length of a measurement.
        generator: who generates the load of `forward`; `auto` is our own and, where it is installed,
            redis-benchmark too.
        messages: of the memory that `flush-latency` flushes.
        memories: that are due at once in `flush-storm`.
        huge: whether `read` has its memory of a million messages too.
    """

    scenarios: Sequence[str]
    rounds: int
    seconds: float
    generator: GeneratorChoice = "auto"
    messages: int = 100_000
    memories: int = 2_000
    huge: bool = True

    @property
    def warm_up_s(self) -> float:
        """How long a load runs before it is measured."""
        return min(self.seconds * WARM_UP_SHARE, MAX_WARM_UP_S)


def _flush_latency(engine: Engine, options: Options, advance: Callable[[], None]) -> list[CaseResult]:
    return measure_flush_latency(
        engine, size=options.messages, rounds=options.rounds, seconds=options.seconds, advance=advance
    )


def _flush_storm(engine: Engine, options: Options, advance: Callable[[], None]) -> list[CaseResult]:
    return measure_flush_storm(
        engine, memories=options.memories, rounds=options.rounds, seconds=options.seconds, advance=advance
    )


FLUSH_SCENARIOS = {"flush-latency": _flush_latency, "flush-storm": _flush_storm}
"""Those with servers of their own, for each engine that can be had, which measure all their cases together."""

FLUSH_PHASES = 2
"""Measurements of each of them in a round: without flushes, and with."""


SERVE_THEMSELVES = {RESIDENT, *FLUSH_SCENARIOS}
"""Those that start all their servers themselves, and give results instead of cases."""


class Progress(Protocol):
    """Who is told how far a run has come."""

    def begin(self, measurements: int) -> None:
        """Take the number of measurements to come."""
        ...

    def case(self, name: str) -> None:
        """Take the name of the case that begins."""
        ...

    def advance(self) -> None:
        """Take note that a measurement is done."""
        ...


def run(options: Options, progress: Progress) -> Report:
    """Start the servers, run the scenarios, stop the servers.

    Raises:
        DevProblem: a server is missing or does not start.
        LoadFailed: a server did not answer as expected.
    """
    begun = monotonic()
    tool = _tool(options.generator)
    with Stage() as stage:
        known = facts(stage)
        wanted = [name for name in SCENARIOS if name in options.scenarios and name not in SERVE_THEMSELVES]
        cases = [case for name in wanted for case in _cases(stage, name, options, tool)]
        flushing = [(name, engine) for name in FLUSH_SCENARIOS if name in options.scenarios for engine in engines()]
        measurements = sum(len(case.contenders) for case in cases) + len(flushing) * FLUSH_PHASES
        measurements += RESIDENT_PHASES if RESIDENT in options.scenarios else 0
        progress.begin(measurements * options.rounds)
        results = [run_case(case, options, progress) for case in cases]
    if RESIDENT in options.scenarios:
        progress.case(RESIDENT)
        results += measure_resident(rounds=options.rounds, advance=progress.advance)
    for name, engine in flushing:
        progress.case(f"{name}: {engine}")
        results += FLUSH_SCENARIOS[name](engine, options, progress.advance)
    return Report(known, _parameters(options, tool), results, round(monotonic() - begun, 1))


def _parameters(options: Options, tool: Path | None) -> dict[str, object]:
    return {
        "scenarios": list(options.scenarios),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "warm_up_seconds": options.warm_up_s,
        "generator": options.generator,
        "messages": options.messages,
        "memories": options.memories,
        "huge": options.huge,
        "redis_benchmark": tool is not None,
    }


def _tool(choice: GeneratorChoice) -> Path | None:
    if choice == "own":
        return None
    tool = maybe_find_redis_benchmark()
    if tool is None and choice == "redis-benchmark":
        raise ProgramMissing(
            "redis-benchmark",
            searched=["on PATH"],
            remedy="install it (Debian: redis-tools; macOS: redis), or use --generator own",
        )
    return tool


def _cases(stage: Stage, scenario: str, options: Options, tool: Path | None) -> list[Case]:
    of: dict[str, Callable[[], list[Case]]] = {
        "ceiling": lambda: list(ceiling_cases(stage)),
        "append": lambda: list(append_cases(stage)),
        "contention": lambda: list(contention_cases(stage)),
        "workers": lambda: list(workers_cases(stage)),
        "counting": lambda: list(counting_cases()),
        "read": lambda: list(read_cases(stage, huge=options.huge)),
        "chat": lambda: list(chat_cases(stage)),
        "forward": lambda: list(forward_cases(stage, own=options.generator != "redis-benchmark", tool=tool)),
    }
    return of[scenario]()


def run_case(case: Case, options: Options, progress: Progress) -> CaseResult:
    """Measure a case's contenders in turn, round after round.

    Raises:
        LoadFailed: a server did not answer as expected.
    """
    progress.case(f"{case.scenario}: {case.name}")
    case.set_up()
    meters = [contender.ready() for contender in case.contenders]
    results = [ContenderResult(contender.name, []) for contender in case.contenders]
    for _ in range(options.rounds):
        for meter, result in zip(meters, results, strict=True):
            case.prepare()
            result.rounds.append(meter.measure(seconds=options.seconds, warm_up_s=options.warm_up_s))
            progress.advance()
    return CaseResult(case, results, list(case.figures()))
