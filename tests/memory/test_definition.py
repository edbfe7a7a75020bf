"""Limits, and the shares of them that start and end a flush."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.memory.definition import Definition, FlushPolicy, PriorityBlock, share
from sidecar.memory.strategies import STRATEGIES


@pytest.mark.parametrize(
    ("limit", "ratio", "expected"), [(None, 0.5, None), (100, 0.5, 50), (3, 0.5, 1), (1, 0.8, 0), (10**9, 1.0, 10**9)]
)
def test_share(limit: int | None, ratio: float, expected: int | None) -> None:
    """A share is rounded down; of no limit there is none."""
    assert share(limit, ratio) == expected


def test_thresholds_and_targets() -> None:
    """Threshold and target are shares of each limit of its own."""
    definition = Definition(max_tokens=1_000, max_messages=50, flush=FlushPolicy(threshold=0.9, target=0.25))
    assert (definition.threshold_tokens, definition.threshold_messages) == (900, 45)
    assert (definition.target_tokens, definition.target_messages) == (250, 12)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_who_keeps_access_times(strategy: str) -> None:
    """Reads are noted only for the strategies that ask for them, and only where there are flushes."""
    definition = Definition(flush=FlushPolicy(strategy=strategy))
    asks = "lru" in strategy
    assert definition.tracks_reads == asks
    for never in (replace(definition, type="buffer"), replace(definition, mode="read-only")):
        assert not never.tracks_reads


def test_priorities() -> None:
    """The priority of a class is found by its name."""
    blocks = (PriorityBlock("chatter", "low"), PriorityBlock("talk"))
    assert Definition(priority_blocks=blocks).priorities == {"chatter": "low", "talk": "normal"}


def test_no_limits() -> None:
    """Without limits nothing is ever due."""
    definition = Definition(max_tokens=None)
    assert (definition.threshold_tokens, definition.threshold_messages) == (None, None)
    assert (definition.target_tokens, definition.target_messages) == (None, None)


def test_the_builtin_definition() -> None:
    """The default holds 128,000 tokens of GPT-4o's vocabulary and never expires."""
    default = Definition()
    assert (default.id, default.encoding, default.max_tokens, default.max_messages, default.ttl_ms) == (
        "default", "o200k_base", 128_000, None, None,
    )  # fmt: skip
    assert default.flush == FlushPolicy("hybrid_summary", 0.8, 0.5, 1_000)
