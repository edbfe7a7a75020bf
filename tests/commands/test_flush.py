"""MEMFLUSH: its options and its reply."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.commands.flush import MAX_WAIT_MS
from sidecar.memory.requests import FlushRequest
from sidecar.memory.results import FlushReport
from tests.commands.asking import MEMORY, check_both, parse, refused

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("FORCE", {"force": True}),
    ("WAIT 1", {"wait_ms": 1}),
    ("wait 500 force", {"force": True, "wait_ms": 500}),
    (f"WAIT {MAX_WAIT_MS}", {"wait_ms": 3_600_000}),
    (f"WAIT {MAX_WAIT_MS + 1}", {"wait_ms": 3_600_000}),
    ("STRATEGY fifo", {"strategy": "fifo"}),
    ("strategy FIFO target 500", {"strategy": "fifo", "target": 500}),
    ("TARGET 0", {"target": 0}),
    ("DRYRUN", {"dry_run": True}),
    ("dryrun WAIT 5", {"dry_run": True, "wait_ms": 5}),
    (
        "WAIT 5 FORCE STRATEGY hybrid_summary DRYRUN TARGET 9",
        {"force": True, "wait_ms": 5, "strategy": "hybrid_summary", "target": 9, "dry_run": True},
    ),
    ('CONTEXT {"a":1} FORCE', {"force": True}),
]


@pytest.mark.parametrize(("options", "fields"), OPTIONS)
def test_options(options: str, fields: dict[str, Any]) -> None:
    """Every option, in any case and order; a wait of more than an hour is one of an hour."""
    assert parse("MEMFLUSH", "k", *options.split()) == FlushRequest(MEMORY, **fields)


ERRORS = {
    "": "ERR wrong number of arguments for 'memflush' command",
    "k NOW": "ERR MEMFLUSH has no option 'NOW'; it knows CONTEXT, STRATEGY, TARGET, FORCE, DRYRUN and WAIT",
    "k WAIT": "ERR MEMFLUSH expects a number after WAIT at the end of its arguments",
    "k STRATEGY": "ERR MEMFLUSH expects a name after STRATEGY at the end of its arguments",
    "k STRATEGY best": "ERR STRATEGY takes one of fifo, hybrid_summary, lru, priority, token_aware_lru, tool_trim, "
    "not 'best'",
    "k TARGET": "ERR MEMFLUSH expects a number after TARGET at the end of its arguments",
    "k TARGET -1": "ERR TARGET takes a whole number from 0 to 2^53, not '-1'",
    "k TARGET few": "ERR TARGET takes a whole number from 0 to 2^53, not 'few'",
    "k WAIT 0": "ERR WAIT takes a whole number from 1 to 2^53, not '0'",
    "k WAIT 1s": "ERR WAIT takes a whole number from 1 to 2^53, not '1s'",
    "k{ FORCE": "BADKEY '{' at offset 1 is not allowed in a key; use A-Z a-z 0-9 _ . - : @ / *",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments: str) -> None:
    """What is wrong with the arguments is said."""
    assert refused("MEMFLUSH", *arguments.split()) == ERRORS[arguments]


REPLIES: list[tuple[FlushReport, dict[str, Any]]] = [
    (FlushReport("not-due"), {"status": "not-due"}),
    (FlushReport("started", "flow", "run"), {"status": "started", "workflow-id": "flow", "run-id": "run"}),
    (FlushReport("failed", error="away"), {"status": "failed", "error": "away"}),
    (
        FlushReport("would-flush", strategy="fifo", removed=4, messages=6, tokens=40, tokens_freed=30),
        {
            "status": "would-flush",
            "strategy": "fifo",
            "removed": 4,
            "messages": 6,
            "tokens": 40,
            "tokens-freed": 30,
        },
    ),
    (
        FlushReport("done", "flow", "run", "fifo", 4, 0, 0, 30, 0, 12),
        {
            "status": "done",
            "workflow-id": "flow",
            "run-id": "run",
            "strategy": "fifo",
            "removed": 4,
            "messages": 0,
            "tokens": 0,
            "tokens-freed": 30,
            "summary-tokens": 0,
            "duration-ms": 12,
        },
    ),
]


@pytest.mark.parametrize(("report", "expected"), REPLIES)
def test_reply(report: FlushReport, expected: dict[str, Any]) -> None:
    """The map has what is known: zero is a value, what has none yet is left out."""
    check_both("MEMFLUSH", report, expected)
