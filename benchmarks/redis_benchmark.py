"""Redis's own load generator, where it is installed: a second opinion on what our own one says.

It is not needed: it runs commands that Redis knows, and only a number of them, not for a time. It reports neither CPU
time nor, before Redis 7, latencies.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import LoadFailed
from benchmarks.load import Sample
from sidecar.dev.ports import LOOPBACK

TOOL = "redis-benchmark"
"""Name of the program."""

LEAST_REQUESTS = 2_000
"""Fewer say nothing with 50 connections and pipelines of 16."""

RUN_LIMIT_S = 60.0
"""On top of the time that the requests should take; the rate it is computed from was measured just before."""


def maybe_find_redis_benchmark() -> Path | None:
    """Return the redis-benchmark on PATH, or None."""
    found = shutil.which(TOOL)
    return None if found is None else Path(found).absolute()


class ToolMeter:
    """Measures with redis-benchmark.

    Args:
        program: where it is.
        port: of the server.
        connections, pipeline: as in a `Load`.
        command: what every request is.
    """

    def __init__(self, program: Path, *, port: int, connections: int, pipeline: int, command: Sequence[str]) -> None:
        self._program = program
        self._port = port
        self._connections = connections
        self._pipeline = pipeline
        self._command = command
        self._rate = 0.0

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `LoadFailed`."""
        first = self._run(LEAST_REQUESTS, limit_s=RUN_LIMIT_S) if not self._rate else None
        self._rate = first.rate if first else self._rate
        warm = self._run(max(int(self._rate * warm_up_s), LEAST_REQUESTS), limit_s=RUN_LIMIT_S + 10 * warm_up_s)
        sample = self._run(max(int(warm.rate * seconds), LEAST_REQUESTS), limit_s=RUN_LIMIT_S + 10 * seconds)
        self._rate = sample.rate
        return sample

    def _run(self, requests: int, *, limit_s: float) -> Sample:
        words = [str(self._program), "-h", LOOPBACK, "-p", str(self._port), "--csv", "-n", str(requests)]
        words += ["-c", str(self._connections), "-P", str(self._pipeline), *self._command]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired as problem:
            raise LoadFailed(f"redis-benchmark took longer than {limit_s:g} s") from problem
        try:
            return parse(done.stdout, requests)
        except ValueError as problem:
            raise LoadFailed(f"redis-benchmark: {problem}; it said: {(done.stderr or done.stdout)[:500]}") from problem


def parse(output: str, requests: int) -> Sample:
    """Read what `redis-benchmark --csv` prints: `"<test>","<rate>"`, since Redis 7 with a header and latencies.

    Raises:
        ValueError: there is no such line.
    """
    rows = list(csv.reader(line for line in output.splitlines() if line.startswith('"')))
    names = ["test", "rps"]
    if rows and rows[0][0] == "test":
        names = rows.pop(0)
    if not rows or len(rows[0]) < len(names):
        raise ValueError("no result in its output")
    values = dict(zip(names, rows[0], strict=False))
    p50, p99 = (float(values[name]) if name in values else None for name in ("p50_latency_ms", "p99_latency_ms"))
    return Sample(requests=requests, seconds=requests / float(values["rps"]), p50_ms=p50, p99_ms=p99)
