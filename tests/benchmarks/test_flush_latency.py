"""Where the figures of a flush stand."""

from __future__ import annotations

from benchmarks.flush_latency import TO_THE_MEMORY, maybe_place
from benchmarks.rows import FLUSH_MESSAGES, FLUSH_P99


def test_only_a_large_flush_is_on_the_scorecard() -> None:
    """Appends to the memory itself are, with either engine; other streams and smaller memories are not."""
    assert maybe_place("local", FLUSH_MESSAGES, TO_THE_MEMORY) is FLUSH_P99["local"]
    assert maybe_place("temporal", 10 * FLUSH_MESSAGES, TO_THE_MEMORY) is FLUSH_P99["temporal"]
    assert maybe_place("local", FLUSH_MESSAGES - 1, TO_THE_MEMORY) is None
    assert maybe_place("local", FLUSH_MESSAGES, "append to others") is None
