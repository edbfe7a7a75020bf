"""A report with invented figures."""

from __future__ import annotations

from benchmarks.client import GENERATOR
from benchmarks.load import Sample
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.rows import APPEND_P50, APPEND_SCRIPT, FLUSH_HOLD, READ, READ_LARGE
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Figure


def sample(rate: float, p50_ms: float | None, **cpu_s: float) -> Sample:
    """Return a measurement of one second."""
    return Sample(int(rate), 1.0, p50_ms, None if p50_ms is None else 3 * p50_ms, cpu_s)


def report() -> Report:
    """Return a report: memsidecar at half of Redis's rate in every round and 1 ms above its p50; a read of 1 ms that
    grows to the double; and a flush that holds something for 6.25 ms in one round."""
    appending = Case(
        scenario="append",
        name="50 connections",
        parameters={"connections": 50},
        contenders=[],
        comparisons=[
            Comparison(MEMSIDECAR, "Redis", row=APPEND_SCRIPT),
            Comparison(MEMSIDECAR, "Redis", "p50_ms", "p50 more than Redis", "difference", APPEND_P50),
        ],
    )
    growth = Comparison("large", "small", "p50_ms", label="growth", row=READ_LARGE)
    small = Comparison("small", None, "p50_ms", "p50", "value", READ)
    reading = Case(
        "read", "1 connection", {"connections": 1}, [], [growth, small, Comparison("tool", "small", "p50_ms")]
    )
    return Report(
        facts={
            "memsidecar": "9.9",
            "python": "CPython 3.11",
            "redis": "7.4",
            "token_engine": "o200k_base native",
            "processor": "abacus",
            "cores": 2,
            "system": "Linux",
            "time": "2025-01-02T03:04:05+00:00",
        },
        parameters={"rounds": 3, "seconds": 1.0},
        cases=[
            CaseResult(
                appending,
                [
                    ContenderResult("Redis", [sample(rate, 1.0) for rate in (1_000, 100, 1_200)]),
                    ContenderResult(
                        MEMSIDECAR,
                        [sample(rate, 2.0, **{MEMSIDECAR: 0.02, GENERATOR: 0.95}) for rate in (500, 50, 600)],
                    ),
                ],
            ),
            CaseResult(
                reading,
                [
                    ContenderResult("small", [sample(10, 1.0)]),
                    ContenderResult("large", [sample(5, 2.0)]),
                    ContenderResult("tool", [sample(5, None)]),
                ],
            ),
            CaseResult(
                Case("flush", "the flush itself", {"engine": "local"}, []),
                [],
                [
                    Figure("longest hold", [2.0, 4.5, 6.25], "ms", FLUSH_HOLD["local"]),
                    Figure("removed", [5_000.0, 5_000.0, 5_000.0]),
                ],
            ),
        ],
        seconds=12.5,
    )
