"""tiktoken in a process of its own."""

from __future__ import annotations

from pathlib import Path

from benchmarks.tiktoken_alone import READY_LINE, TiktokenProcess
from sidecar.tokens.counter import load_counter


def test_it_counts_with_the_shipped_vocabulary(tmp_path: Path) -> None:
    """It needs no network, gives the right count, and waits until it is stopped."""
    process = TiktokenProcess("o200k_base", directory=tmp_path)
    process.start()
    try:
        expected = load_counter("o200k_base", "tiktoken").count("Is it ready?")
        assert process.tail() == [f"{READY_LINE} {expected}"]
        assert len(list(tmp_path.iterdir())) == 1  # a vocabulary that it had fetched would lie there too
        assert process.running
    finally:
        process.stop()
