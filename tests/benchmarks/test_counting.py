"""Counting side by side."""

from __future__ import annotations

from benchmarks.counting import BLOCK, LONGEST_BYTES, SHORTEST_BYTES, TEXTS, CountingMeter, different, texts
from sidecar.tokens.counter import load_counter


def test_the_texts_are_different_and_of_all_lengths() -> None:
    """They fill the whole range, some are not ASCII, and hardly two are alike."""
    lengths = [len(text.encode()) for text in texts()]
    assert len(texts()) == TEXTS
    assert len(set(texts())) > 0.99 * TEXTS
    assert max(lengths) <= LONGEST_BYTES
    assert SHORTEST_BYTES <= min(lengths) < 60
    assert max(lengths) > LONGEST_BYTES - 20
    assert 0 < sum(not text.isascii() for text in texts()) < TEXTS / 5


def test_every_text_is_counted_in_turn() -> None:
    """A sample tells how many were counted in the window, after the warm-up, and in how much CPU time."""
    counted: list[str] = []
    sample = CountingMeter(counted.append).measure(seconds=0.01, warm_up_s=0)
    assert counted[:TEXTS] == list(texts())[: len(counted)]
    assert sample.requests == len(counted) - BLOCK
    assert 0 < sample.seconds < 2.0  # a hundredth, on a machine that does nothing else


def test_a_different_count_is_noticed() -> None:
    """Another vocabulary's counts are not the same; those of the counter itself are."""
    counter = load_counter("o200k_base")
    assert different(counter) == 0

    class Other:
        encoding = "o200k_base"
        count = staticmethod(load_counter("cl100k_base").count)

    assert different(Other()) > TEXTS / 2
