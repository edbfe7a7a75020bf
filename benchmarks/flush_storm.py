"""Thousands of memories cross their threshold within a second: how long until the last one is flushed, what that costs,
and what others notice of it.

Every memory gets two appends above its threshold, so two marks ask for one flush. Others, which have no limits, get
appends at a fixed rate before the storm and during it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.conversation import messages
from benchmarks.flush_stage import BATCH, TEMPORAL, WORKER, Engine, FlushStage
from benchmarks.load import Sample, pack
from benchmarks.open_loop import OpenLoad, Stream, Timed
from benchmarks.results import CaseResult, ContenderResult
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Figure
from benchmarks.scrape import Scrape
from benchmarks.stage import REDIS
from benchmarks.temporal_runs import flush_runs
from sidecar.memory.keys import KeySpace

SCENARIO = "flush-storm"

STORMY, CALM = "storm", "calm"
"""Definitions: memories that are all about to be due, and the others."""

FULL = 32
"""Messages at the threshold, which is 0.8 of the limit; one more makes a memory due."""

DEFINITIONS = f"""definitions:
  - id: {STORMY}
    max_tokens: null
    max_messages: {FULL * 10 // 8}
    flush: {{strategy: hybrid_summary, threshold: 0.8, target: 0.5}}
  - id: {CALM}
    max_tokens: null
"""

APPENDS = 2
"""Above the threshold of each memory."""

STORM_S = 1.0
"""In which they come."""

STORM_CONNECTIONS = 16

OTHERS, OTHERS_PER_S = 50, 100
"""The other memories, and appends to all of them together."""

DIFFERENT_APPENDS = 4_000
"""Requests to the others before the circle begins anew."""

LEAST_S = 0.5
"""Of the phase before the storm."""

STORM_LIMIT_S = 900.0
"""Most time until the last commit."""

POLL_S = 0.1
"""Between two looks whether all are flushed: a look costs Redis less than a millisecond."""

META_STEP = 500
"""Memories whose records are read at once."""

BEFORE, DURING = "before", "storm"
OTHERS_STREAM, CROSSING_STREAM = "append to others", "append above the threshold"

CALLS = "service_requests_total"
"""Temporal's counter of calls to its services. It is called without `_total` there; whoever reads counters adds it."""

PROCESSES = (MEMSIDECAR, REDIS, TEMPORAL, WORKER)

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Round:
    """What one storm gave."""

    before: Sample
    during: Sample
    figures: dict[str, float]


def measure_flush_storm(
    engine: Engine, *, memories: int, rounds: int, seconds: float, advance: Advance
) -> list[CaseResult]:
    """Return the case of one engine.

    Args:
        engine: who runs the flushes.
        memories: how many cross their threshold.
        rounds: how many storms there are, each over new memories.
        seconds: length of the phase before each, `LEAST_S` at least.
        advance: is called after each phase.
    """
    with FlushStage(engine, DEFINITIONS) as stage:
        storm = _Storm(stage, memories)
        found = [storm.round(number, max(seconds, LEAST_S), advance) for number in range(rounds)]
    case = Case(
        scenario=SCENARIO,
        name=f"{engine}: {OTHERS_STREAM}",
        parameters={"engine": engine, "memories": memories},
        contenders=[],
        comparisons=[
            Comparison(DURING, BEFORE, "p50_ms", label="p50 during : before the storm"),
            Comparison(DURING, BEFORE, "p99_ms", label="p99 during : before the storm"),
        ],
    )
    phases = [
        ContenderResult(BEFORE, [one.before for one in found]),
        ContenderResult(DURING, [one.during for one in found]),
    ]
    names = dict.fromkeys(name for one in found for name in one.figures)
    figures = [Figure(name, [one.figures.get(name, 0.0) for one in found], _unit(name)) for name in names]
    return [CaseResult(case, phases, figures)]


def _unit(name: str) -> str:
    if name.startswith("CPU"):
        return "ms"
    return "s" if name.startswith("time") else ""


class _Storm:
    """The memories and their load."""

    def __init__(self, stage: FlushStage, memories: int) -> None:
        self._stage = stage
        self._memories = memories
        texts = messages(DIFFERENT_APPENDS)
        calm = [pack("MEMAPPEND", f"{CALM}:{number % OTHERS}", "user", text) for number, text in enumerate(texts)]
        self._others = Stream(OTHERS_STREAM, calm, OTHERS_PER_S, connections=4)

    def round(self, number: int, seconds: float, advance: Advance) -> _Round:
        """Measure one storm."""
        stage, names = self._stage, [f"{STORMY}:{number}-{each}" for each in range(self._memories)]
        self._fill(names)
        stage.generator.start(OpenLoad(stage.sidecar.port, [self._others], stage.watched()))
        time.sleep(seconds)
        before = stage.generator.stop()[OTHERS_STREAM].sample
        advance()
        sidecar, temporal = Scrape(stage.sidecar.metrics_url), self._maybe_temporal()
        rate = len(names) * APPENDS / STORM_S
        crossing = Stream(CROSSING_STREAM, list(_crossing(names)), rate, STORM_CONNECTIONS, once=True)
        begun_ms = self._now_ms()
        stage.generator.start(OpenLoad(stage.sidecar.port, [self._others, crossing], stage.watched()))
        commits = self._last_commits(names)
        timed = stage.generator.stop()
        figures = {
            "time to the last commit": (max(commits) - begun_ms) / 1000,
            "time to half of the commits": (median(commits) - begun_ms) / 1000,
            f"longest {OTHERS_STREAM}, ms": timed[OTHERS_STREAM].longest_ms,
            f"longest {CROSSING_STREAM}, ms": timed[CROSSING_STREAM].longest_ms,
            **_triggers(sidecar, Scrape(stage.sidecar.metrics_url)),
            **_processor_ms(before, timed, len(names)),
            **self._calls(temporal, f"{number}-", len(names)),
        }
        advance()
        return _Round(before, timed[OTHERS_STREAM].sample, figures)

    def _fill(self, names: list[str]) -> None:
        texts = messages(FULL)
        turns = [word for number, text in enumerate(texts) for word in (("user", "assistant")[number % 2], text)]
        assert FULL <= BATCH, "one append fills a memory"
        for name in names:
            self._stage.ask("MEMAPPEND", name, *turns)

    def _now_ms(self) -> float:
        seconds, microseconds = self._stage.redis.time()
        return float(seconds * 1000 + microseconds / 1000)

    def _last_commits(self, names: list[str]) -> list[float]:
        """Wait until every memory is flushed; return when each was, in ms of Redis's clock."""
        deadline = time.monotonic() + STORM_LIMIT_S
        space, missing, found = KeySpace(), list(names), []
        while missing:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(missing)} of {len(names)} memories were not flushed in {STORM_LIMIT_S:g} s")
            time.sleep(POLL_S)
            step = missing[:META_STEP]
            with self._stage.redis.pipeline(transaction=False) as pipe:
                for name in step:
                    pipe.hmget(space.keys(*name.split(":", 1)).meta, "last_status", "last_flush")
                answers: Any = pipe.execute()
            waiting = [name for name, (status, _) in zip(step, answers, strict=True) if status != b"done"]
            found += [float(at) for status, at in answers if status == b"done"]
            # The unfinished ones go to the end, so that the next look is at others.
            missing = missing[META_STEP:] + waiting
        return found

    def _maybe_temporal(self) -> Scrape | None:
        return None if self._stage.temporal is None else Scrape(self._stage.temporal.metrics_url)

    def _calls(self, before: Scrape | None, prefix: str, flushes: int) -> dict[str, float]:
        """Return what Temporal's frontend was asked, and what it wrote down, per flush."""
        if before is None or self._stage.temporal is None:
            return {}
        name, frontend = CALLS, {"service_name": "frontend"}
        after = Scrape(self._stage.temporal.metrics_url)
        calls = {
            operation: after.total(name, operation=operation, **frontend)
            - before.total(name, operation=operation, **frontend)
            for operation in after.by(name, "operation")
        }
        runs = asyncio.run(flush_runs(self._stage.temporal.address, KeySpace().keys(STORMY, prefix).name))
        return {
            "workflow runs per flush": runs.by_status.total() / flushes,
            "calls of Temporal per flush": sum(calls.values()) / flushes,
            **{
                f"calls of {operation} per flush": count / flushes
                for operation, count in sorted(calls.items(), key=lambda item: -item[1])
                if count >= flushes / 10
            },
            "events in Temporal's histories per flush": runs.events / flushes,
        }


def _crossing(names: list[str]) -> Iterator[bytes]:
    texts = messages(APPENDS)
    for name in names:
        for text in texts:
            yield pack("MEMAPPEND", name, "user", text)


def _triggers(before: Scrape, after: Scrape) -> dict[str, float]:
    name = "memsidecar_flush_triggers_total"
    return {
        f"marks {outcome}": count - before.total(name, outcome=outcome)
        for outcome, count in sorted(after.by(name, "outcome").items())
    }


def _processor_ms(before: Sample, timed: dict[str, Timed], flushes: int) -> dict[str, float]:
    """Return the CPU time per flush, without what the load on the others takes: that share is known from before."""
    during = timed[OTHERS_STREAM].sample
    return {
        f"CPU of {process} per flush": (
            during.cpu_s[process] - before.cpu_s.get(process, 0.0) / before.seconds * during.seconds
        )
        / flushes
        * 1000
        for process in PROCESSES
        if process in during.cpu_s
    }
