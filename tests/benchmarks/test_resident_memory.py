"""Memory of processes."""

from __future__ import annotations

import os
import sys

from benchmarks.resident_memory import resident_bytes

MEGABYTES = 32 * 1024 * 1024


def test_it_rises_with_what_is_written() -> None:
    """Memory that a process fills counts as resident; only Linux tells."""
    before = resident_bytes(os.getpid())
    if sys.platform != "linux":
        assert before is None
        return
    held = b"x" * MEGABYTES
    after = resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert 0.9 * MEGABYTES < after - before < 1.5 * MEGABYTES
    assert len(held) == MEGABYTES


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    """No process has the id 0."""
    assert resident_bytes(0) is None
