"""Results that compute something: usage of limits, and tokens of a read."""

from __future__ import annotations

import pytest

from sidecar.memory.results import MemoryInfo, ReadResult
from sidecar.memory.stored_message import StoredMessage


def usage(*, tokens: int, messages: int, limit_tokens: int | None, limit_messages: int | None) -> float:
    return MemoryInfo(
        messages=messages,
        tokens=tokens,
        summary_tokens=100,
        pinned_tokens=0,
        limit_tokens=limit_tokens,
        limit_messages=limit_messages,
        flush="none",
        flush_due_since_ms=None,
        last_flush_ms=None,
        last_flush_strategy=None,
        last_flush_error=None,
        epoch=None,
        ttl_ms=None,
        encoding="o200k_base",
        first_id=None,
        last_id=None,
    ).usage


@pytest.mark.parametrize(
    ("tokens", "messages", "limit_tokens", "limit_messages", "expected"),
    [
        (400, 5, 1_000, None, 0.5),
        (400, 5, 1_000, 6, 0.8333),
        (400, 5, 1_000, 100, 0.5),
        (400, 5, None, 10, 0.5),
        (400, 5, None, None, 0.0),
        (1_900, 5, 1_000, None, 2.0),
    ],
)
def test_usage(
    tokens: int, messages: int, limit_tokens: int | None, limit_messages: int | None, expected: float
) -> None:
    """Usage is the share of the tighter limit, the summary counted, and above 1 when over it."""
    got = usage(tokens=tokens, messages=messages, limit_tokens=limit_tokens, limit_messages=limit_messages)
    assert got == expected


def test_tokens_of_a_read() -> None:
    """A read weighs its messages, and its summary where one is returned."""
    messages = [StoredMessage("1-0", "user", "x", 5, None), StoredMessage("2-0", "user", "y", 6, None)]
    assert ReadResult("S", 7, messages, 2, 11, more=False, left_out=0).tokens == 18
    assert ReadResult(None, 7, messages, 2, 11, more=False, left_out=0).tokens == 11
