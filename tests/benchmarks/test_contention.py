"""Counting what many writers stored."""

from __future__ import annotations

from benchmarks.append import by_sidecar
from benchmarks.contention import AuditedMeter
from benchmarks.stage import Stage


def test_the_log_is_counted_after_each_measurement() -> None:
    """Every acknowledged message of eight writers is there; messages that nobody acknowledged are noticed."""
    lost: list[float] = []
    with Stage() as stage:
        meter = AuditedMeter(stage, by_sidecar(stage, 1, 8, 1), lost)
        first = meter.measure(seconds=0.05, warm_up_s=0.01)
        meter.measure(seconds=0.05, warm_up_s=0.01)  # the first one's messages are still there
    assert lost == [0, first.answered]
