"""The rows of the scorecard: what memsidecar promises of its speed and size, and where each figure has its place.

Data only. A scenario names the row that a comparison or a figure of it belongs to; `scorecard` puts them in the order
of `ROWS`. At most one figure of a run belongs to a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.goals import Goal

RATIO = "x"
"""Unit of a ratio of two contenders."""


@dataclass(frozen=True, slots=True)
class Row:
    """One promise.

    Args:
        name: the work that is measured.
        against: what it is compared with, in the same run; "" for an absolute figure.
        unit: `RATIO`, or what is counted; "" for a plain number.
        goal: None where a figure is shown for what it is.
    """

    name: str
    against: str
    unit: str
    goal: Goal | None = None


def _at_least(floor: float | None, aim: float | None = None) -> Goal:
    return Goal("at least", floor, aim)


def _at_most(floor: float | None, aim: float | None = None) -> Goal:
    return Goal("at most", floor, aim)


_NONE = Goal("at most", floor=0, every_round=True)

_SCRIPT = "the script on Redis"
APPEND_SCRIPT = Row("MEMAPPEND, 50 connections", _SCRIPT, RATIO, _at_least(0.8, 1.0))
APPEND_RPUSH = Row("MEMAPPEND, 50 connections", "RPUSH on Redis", RATIO, _at_least(None, 0.6))
APPEND_SCRIPT_16 = Row("MEMAPPEND, 50 connections, pipeline 16", _SCRIPT, RATIO, _at_least(0.8, 1.0))
APPEND_P50 = Row("MEMAPPEND, 1 connection: p50 above", _SCRIPT, "ms", _at_most(0.2, 0.12))
APPEND_P99 = Row("MEMAPPEND, 1 connection: p99", _SCRIPT, RATIO, _at_most(3))

FEW_WRITERS, MANY_WRITERS = 8, 100
FEW_RATE = Row(f"{FEW_WRITERS} writers on one memory: appends", "", "/s")
FEW_LOST = Row(f"{FEW_WRITERS} writers on one memory: lost or doubled", "", "", _NONE)
MANY_P99 = Row(f"{MANY_WRITERS} writers on one memory: p99", "", "ms", _at_most(50, 15))
MANY_LOST = Row(f"{MANY_WRITERS} writers on one memory: lost or doubled", "", "", _NONE)

COUNTING = Row("token counts, 40 to 2,000 bytes", "tiktoken encode_ordinary", RATIO, _at_least(10))
COUNTING_DIFFERENT = Row("token counts that differ", "tiktoken encode_ordinary", "", _NONE)

_READ = "MEMREAD TOKENS 8000 from"
READ = Row(f"{_READ} 1,000 messages: p50", "", "ms", _at_most(5, 2))
READ_LARGE = Row(f"{_READ} 100,000: p50", "from 1,000", RATIO, _at_most(1.3))
READ_HUGE = Row(f"{_READ} 1,000,000: p50", "from 1,000", RATIO, _at_most(1.3))

_CHAT, _LRANGE, _CHAT_GOAL = "MEMREAD FORMAT OPENAI of 200 messages", "LRANGE of the same bytes", _at_least(0.4, 0.6)
READ_CHAT = Row(f"{_CHAT}, asked again", _LRANGE, RATIO, _CHAT_GOAL)
READ_FIRST = {
    connections: Row(f"{_CHAT}, first read, {many}", _LRANGE, RATIO, _CHAT_GOAL)
    for connections, many in ((1, "1 connection"), (50, "50 connections"))
}
"""By connections. What is asked again is answered from what was kept, so a first read stands beside it, by the same
goal."""

HAPROXY, NUTCRACKER = "HAProxy", "nutcracker"
FORWARD = {
    (command, pipeline, proxy): Row(f"{command}, 50 connections, pipeline {pipeline}", proxy, RATIO, goal)
    for command in ("SET", "GET", "RPUSH")
    for pipeline in (1, 16)
    for proxy, goal in ((HAPROXY, _at_least(1.0)), (NUTCRACKER, _at_least(None, 1.0)))
}
"""By command, pipeline and what stands beside memsidecar: HAProxy is the floor, nutcracker the aim."""

IDLE_SILENT = Row("idle connection that sent nothing: resident", "", "KB", _at_most(40, 20))
IDLE_USED = Row("idle connection after MEMAPPEND: resident", "", "KB", _at_most(40, 20))

_ALONE = "tiktoken alone"
REST_RESIDENT = Row("sidecar at rest: resident", "", "MB", _at_most(100, 80))
REST_RESIDENT_RATIO = Row("sidecar at rest: resident", _ALONE, RATIO)
REST_READY = Row("sidecar: from start to ready", "", "s", _at_most(1.5, 0.8))
REST_READY_RATIO = Row("sidecar: from start to ready", _ALONE, RATIO)

FLUSH_MESSAGES = 100_000
FLUSH_P99 = {
    engine: Row(f"append p99 during a flush, engine {engine}", "without a flush", RATIO, _at_most(1.5, 1.1))
    for engine in ("local", "temporal")
}
"""By engine, of a memory of `FLUSH_MESSAGES`: a smaller one is flushed in less time, which would flatter."""

FLUSH_HOLD = {
    engine: Row(f"flush: longest hold of Redis, engine {engine}", "", "ms", Goal("at most", 5.0, every_round=True))
    for engine in ("local", "temporal")
}
"""Redis answers nobody while a script runs, so no step of a flush may take longer at a time, in any round."""

ROWS = (
    APPEND_SCRIPT,
    APPEND_RPUSH,
    APPEND_SCRIPT_16,
    FEW_RATE,
    FEW_LOST,
    MANY_P99,
    MANY_LOST,
    APPEND_P50,
    APPEND_P99,
    COUNTING,
    COUNTING_DIFFERENT,
    READ,
    READ_LARGE,
    READ_HUGE,
    READ_CHAT,
    *READ_FIRST.values(),
    *FORWARD.values(),
    IDLE_SILENT,
    IDLE_USED,
    REST_RESIDENT,
    REST_RESIDENT_RATIO,
    REST_READY,
    REST_READY_RATIO,
    *FLUSH_P99.values(),
    *FLUSH_HOLD.values(),
)
"""All of them, in the order of the scorecard."""
