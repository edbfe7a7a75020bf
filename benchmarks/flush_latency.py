"""What clients notice of a flush: appends and reads at a fixed rate, while a large memory is flushed and while not.

One memory with a system message at its head is flushed to half of its tokens, and another load of the same kind goes
to other memories. Both phases of a round begin with the same content. Redis itself is watched too: how long did any
script hold it?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.conversation import messages
from benchmarks.flush_stage import Engine, FlushStage
from benchmarks.load import pack
from benchmarks.open_loop import OpenLoad, Stream, Timed
from benchmarks.redis_holds import redis_holds
from benchmarks.results import CaseResult, ContenderResult
from benchmarks.rows import FLUSH_HOLD, FLUSH_MESSAGES, FLUSH_P99, Row
from benchmarks.scenario import Case, Comparison, Figure

SCENARIO = "flush-latency"

DEFINITION = "bench"

# Flushes are ordered here, with a target; none begins by itself.
DEFINITIONS = f"definitions:\n  - id: {DEFINITION}\n    max_tokens: null\n"

LARGE = f"{DEFINITION}:large"
"""The memory that is flushed."""

OTHERS, OTHER_MESSAGES = 20, 200
"""Further memories, and what each holds: enough for a read of 8,000 tokens."""

DIFFERENT_TEXTS = 20_000
"""After these the circle begins anew in a large memory: their making takes a second, not a minute."""

APPENDS_PER_S, READS_PER_S = 100, 25
"""For the large memory, and the same for the others: a busy sidecar, not a full one."""

LEAST_S = 0.5
"""Of the phase without a flush, for a dozen reads."""

CONNECTIONS = 4
"""Per stream."""

READ_TOKENS = 8_000

WAIT_MS = 600_000
"""Most time for one flush."""

DIFFERENT_APPENDS = 4_000
"""Requests before the circle begins anew."""

QUIET, FLUSHING = "no flush", "flush under way"

HOLD, REMOVED = "longest hold of Redis during a flush", "messages removed"

TO_THE_MEMORY = "append to the memory"
"""The stream that the scorecard shows."""

Advance = Callable[[], None]


def measure_flush_latency(
    engine: Engine, *, size: int, rounds: int, seconds: float, advance: Advance
) -> list[CaseResult]:
    """Return a case per stream, and one about the flush itself.

    Args:
        engine: who runs the flush.
        size: messages of the memory that is flushed.
        rounds: how often both phases are measured, in turn.
        seconds: length of the phase without a flush, `LEAST_S` at least; the other one lasts as long as the flush.
        advance: is called after each phase.
    """
    with FlushStage(engine, DEFINITIONS) as stage:
        scene = _Scene(stage, size)
        timed: list[dict[str, dict[str, Timed]]] = []
        told: list[dict[str, float]] = []
        for _ in range(rounds):
            quiet, before = scene.quiet(max(seconds, LEAST_S))
            advance()
            flushing, meanwhile = scene.flushing()
            advance()
            timed.append({QUIET: quiet, FLUSHING: flushing})
            told.append(before | meanwhile)
        cases = [_case(engine, size, stream.name, timed) for stream in scene.load.streams]
    flush = Case(SCENARIO, f"{engine}: the flush itself", {"engine": engine, "messages": size}, [])
    return [*cases, CaseResult(flush, [], _figures(engine, told))]


class _Scene:
    """The memories, their load, and the two phases."""

    def __init__(self, stage: FlushStage, size: int) -> None:
        self._stage = stage
        texts = messages(min(size, DIFFERENT_TEXTS))
        stage.fill(LARGE, [texts[number % len(texts)] for number in range(size)])
        for number in range(OTHERS):
            stage.fill(f"{DEFINITION}:{number}", texts[:OTHER_MESSAGES])
        self._target = int(stage.ask_map("MEMINFO", LARGE)["tokens"]) // 2
        keys = stage.keys(LARGE)
        self._keys = (keys.log, keys.meta, keys.keep)
        self._belongings = keys.belongings
        for key in self._keys:
            stage.redis.copy(key, _kept(key))
        others = [f"{DEFINITION}:{number}" for number in range(OTHERS)]
        self.load = OpenLoad(
            stage.sidecar.port,
            [
                Stream(TO_THE_MEMORY, list(_appends([LARGE])), APPENDS_PER_S, CONNECTIONS),
                Stream("append to others", list(_appends(others)), APPENDS_PER_S, CONNECTIONS),
                Stream("read from the memory", [_read(LARGE)], READS_PER_S, CONNECTIONS),
                Stream("read from others", [_read(other) for other in others], READS_PER_S, CONNECTIONS),
            ],
            stage.watched(),
        )

    def quiet(self, seconds: float) -> tuple[dict[str, Timed], dict[str, float]]:
        """Measure without a flush."""
        self._put_back()
        with redis_holds(self._stage.redis) as holds:
            self._stage.generator.start(self.load)
            time.sleep(seconds)
            timed = self._stage.generator.stop()
        return timed, {"longest hold of Redis without a flush": max(holds.longest_ms.values(), default=0.0)}

    def flushing(self) -> tuple[dict[str, Timed], dict[str, float]]:
        """Measure while the memory is flushed."""
        self._put_back()
        with redis_holds(self._stage.redis) as holds:
            self._stage.generator.start(self.load)
            outcome = self._stage.ask_map(
                "MEMFLUSH", LARGE, "TARGET", self._target, "FORCE", "STRATEGY", "hybrid_summary", "WAIT", WAIT_MS
            )
            timed = self._stage.generator.stop()
        figures = {
            "duration": int(outcome["duration-ms"]),
            REMOVED: int(outcome["removed"]),
            HOLD: max(holds.longest_ms.values(), default=0.0),
            **{f"longest hold by {name}": ms for name, ms in sorted(holds.longest_ms.items())},
            **{f"longest {name}": value.longest_ms for name, value in timed.items()},
        }
        return timed, figures

    def _put_back(self) -> None:
        """Give the large memory its first content again."""
        self._stage.redis.delete(*self._belongings)
        for key in self._keys:
            self._stage.redis.copy(_kept(key), key, replace=True)


def _kept(key: str) -> str:
    """Return where the first content of `key` is kept; no key of a memory begins like this."""
    return f"first-content:{key}"


def _appends(memories: list[str]) -> Iterator[bytes]:
    for number, text in enumerate(messages(DIFFERENT_APPENDS)):
        yield pack("MEMAPPEND", memories[number % len(memories)], ("user", "assistant")[number % 2], text)


def _read(memory: str) -> bytes:
    return pack("MEMREAD", memory, "TOKENS", READ_TOKENS, "PEEK")


def maybe_place(engine: Engine, size: int, stream: str) -> Row | None:
    """Return the scorecard's row of a stream's p99, while a memory of `size` messages is flushed; None without one."""
    return FLUSH_P99[engine] if stream == TO_THE_MEMORY and size >= FLUSH_MESSAGES else None


def _case(engine: Engine, size: int, stream: str, timed: list[dict[str, dict[str, Timed]]]) -> CaseResult:
    case = Case(
        scenario=SCENARIO,
        name=f"{engine}: {stream}",
        parameters={"engine": engine, "messages": size, "stream": stream},
        contenders=[],
        comparisons=[
            Comparison(FLUSHING, QUIET, "p50_ms", label="p50 during : without a flush"),
            Comparison(
                FLUSHING, QUIET, "p99_ms", label="p99 during : without a flush", row=maybe_place(engine, size, stream)
            ),
        ],
    )
    phases = [ContenderResult(phase, [round_[phase][stream].sample for round_ in timed]) for phase in (QUIET, FLUSHING)]
    return CaseResult(case, phases)


def _figures(engine: Engine, told: list[dict[str, float]]) -> list[Figure]:
    """Return the figures of all rounds. A script that was too quick to be kept in one of them has none there: 0."""
    names = dict.fromkeys(name for one in told for name in one)
    return [
        Figure(
            name,
            [one.get(name, 0.0) for one in told],
            unit="" if name == REMOVED else "ms",
            row=FLUSH_HOLD[engine] if name == HOLD else None,
        )
        for name in names
    ]
