"""MEMINFO and MEMCLEAR: a key, a map and a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.memory.requests import ClearRequest, InfoRequest
from sidecar.memory.results import OVERDUE_MS, MemoryInfo
from tests.commands.asking import MEMORY, check_both, parse, received, refused


def test_requests() -> None:
    """Both take a key."""
    assert parse("MEMINFO", "k") == InfoRequest(MEMORY)
    assert parse("MEMCLEAR", "k") == ClearRequest(MEMORY)
    assert parse("MEMCLEAR", "k", "lock", "t") == ClearRequest(MEMORY, "t")
    assert parse("MEMINFO", "{{ a }}", "CONTEXT", '{"a":"k"}') == InfoRequest(MEMORY)


@pytest.mark.parametrize("name", ["MEMINFO", "MEMCLEAR"])
def test_errors(name: str) -> None:
    """Both take one key and the options that they know."""
    assert refused(name) == f"ERR wrong number of arguments for '{name.lower()}' command"
    known = "CONTEXT" if name == "MEMINFO" else "CONTEXT and LOCK"
    assert refused(name, "k", "more") == f"ERR {name} has no option 'MORE'; it knows {known}"
    assert refused(name, "k", "CONTEXT", "[1]").startswith("ERR CONTEXT takes a JSON object: ")
    assert refused(name, "").startswith("BADKEY ")


INFO = MemoryInfo(8, 70, 20, 5, 100, 40, "due", 11, 12, "fifo", "away", 13, 14, "o200k_base", "1-0", "9-0", True)
EMPTY = MemoryInfo(0, 0, 0, 0, None, None, "none", None, None, None, None, None, None, "o200k_base", None, None)


def test_reply() -> None:
    """MEMINFO tells all that there is to tell."""
    check_both(
        "MEMINFO",
        INFO,
        {
            "messages": 8,
            "tokens": 70,
            "summary-tokens": 20,
            "pinned-tokens": 5,
            "limit-tokens": 100,
            "limit-messages": 40,
            "usage": 0.9,
            "near-limit": True,
            "health": "ok",
            "flush": "due",
            "flush-due-since-ms": 11,
            "last-flush-ms": 12,
            "last-flush-strategy": "fifo",
            "last-flush-error": "away",
            "epoch": 13,
            "ttl-ms": 14,
            "locked": True,
            "encoding": "o200k_base",
            "first-id": "1-0",
            "last-id": "9-0",
        },
    )


def test_an_empty_memory() -> None:
    """An unknown memory is an empty one: what is absent is null, under the same names."""
    reply = received("MEMINFO", EMPTY, 3)
    assert list(reply) == list(received("MEMINFO", INFO, 3))
    assert [name for name, value in reply.items() if value is None] == [
        "limit-tokens",
        "limit-messages",
        "flush-due-since-ms",
        "last-flush-ms",
        "last-flush-strategy",
        "last-flush-error",
        "epoch",
        "ttl-ms",
        "first-id",
        "last-id",
    ]
    check_both("MEMINFO", EMPTY, reply)


@pytest.mark.parametrize(
    ("tokens", "summary", "messages", "limits", "usage", "near"),
    [
        (0, 0, 0, (100, 40), 0.0, False),
        (60, 19, 0, (100, 40), 0.79, False),
        (60, 20, 0, (100, 40), 0.8, True),
        (10, 0, 30, (100, 40), 0.75, False),
        (10, 0, 32, (100, 40), 0.8, True),
        (150, 0, 0, (100, None), 1.5, True),
        (150, 0, 30, (None, 40), 0.75, False),
        (150, 0, 30, (None, None), 0.0, False),
        (1, 0, 0, (3, None), 0.3333, False),
    ],
)
def test_usage(
    tokens: int, summary: int, messages: int, limits: tuple[int | None, int | None], usage: float, near: bool
) -> None:
    """Usage is the share of the tighter limit, the summary's tokens included; from 0.8 on a flush is near."""
    info = replace(
        INFO, tokens=tokens, summary_tokens=summary, messages=messages, limit_tokens=limits[0], limit_messages=limits[1]
    )
    reply = received("MEMINFO", info, 3)
    assert (reply["usage"], reply["near-limit"]) == (usage, near)


@pytest.mark.parametrize(
    ("state", "health"),
    [
        ({"flush": "none", "tokens": 80}, "ok"),
        ({"flush": "none", "tokens": 81}, "full"),
        ({"flush": "due", "due_for_ms": OVERDUE_MS}, "ok"),
        ({"flush": "due", "due_for_ms": OVERDUE_MS + 1, "tokens": 81}, "overdue"),
        ({"flush": "running", "due_for_ms": OVERDUE_MS + 1}, "ok"),
        ({"flush": "failed", "due_for_ms": OVERDUE_MS + 1, "tokens": 81}, "failing"),
    ],
)
def test_health(state: dict[str, Any], health: str) -> None:
    """What is worst about a memory is its health; one that nobody uses, or that is being flushed, is well."""
    assert received("MEMINFO", replace(INFO, **state), 3)["health"] == health


def test_cleared() -> None:
    """MEMCLEAR answers how many messages there were."""
    check_both("MEMCLEAR", 7, 7)
