"""Memory at rest and per connection, on real processes; no look at how much it is."""

from __future__ import annotations

import sys

import pytest

from benchmarks.resident import PHASES, measure_resident


def test_a_round_starts_both_processes() -> None:
    """There is a figure for each of them, in every round, and the ratios are of the same round."""
    advances: list[None] = []
    (result,) = measure_resident(rounds=2, advance=lambda: advances.append(None))
    figures = {figure.name: figure.rounds for figure in result.figures}
    assert len(advances) == 2 * PHASES
    assert all(len(rounds) == 2 for rounds in figures.values())
    whats = ["from start to ready"]
    if sys.platform == "linux":
        whats.append("resident at rest")
        # An allocator gives whole pages, and hardly any of them may be new; but a thousand connections need some.
        assert min(figures["resident per idle connection that sent nothing"]) > 0
        assert min(figures["resident per idle connection that did one MEMAPPEND"]) > 0
    for what in whats:
        mine, theirs = figures[f"memsidecar: {what}"], figures[f"tiktoken alone: {what}"]
        assert min(*mine, *theirs) > 0
        assert figures[f"memsidecar : tiktoken alone, {what}"] == pytest.approx(
            [one / other for one, other in zip(mine, theirs, strict=True)]
        )
