"""CPU time of processes."""

from __future__ import annotations

import os
import sys
import time

from benchmarks.processor_time import processor_seconds


def test_it_rises_with_work() -> None:
    """A process that computes uses CPU time, as the kernel counts it; only Linux tells."""
    before = processor_seconds(os.getpid())
    if sys.platform != "linux":
        assert before is None
        return
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        sum(range(1_000))
    after = processor_seconds(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before >= 0.03  # the clock ticks every 0.01 s


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    """No process has the id 0."""
    assert processor_seconds(0) is None
