"""Every error text, pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.dev.problems import (
    SHOWN_LINES,
    ChildFailed,
    ChildNotReady,
    DataInUse,
    DevProblem,
    PortBusy,
    ProgramMissing,
)

TEXTS = [
    (
        ProgramMissing("temporal", searched=["on PATH", "in /v/bin"], remedy="install it"),
        "temporal was not found (on PATH, in /v/bin); install it",
    ),
    (
        PortBusy(6380, purpose="the sidecar", option="--port"),
        "port 6380 on 127.0.0.1, which the sidecar would use, is taken; "
        "stop what listens there, or name another port with --port",
    ),
    (
        DataInUse(Path("/d")),
        "the data directory /d is in use by another memsidecar dev; "
        "stop that one, or name another directory with --data",
    ),
    (
        ChildFailed("redis", exit_code=1, tail=["a", "b"]),
        "redis ended with exit code 1. Its last lines:\n    a\n    b",
    ),
    (ChildFailed("redis", exit_code=-9, tail=[]), "redis was ended by signal 9. It printed nothing."),
    (
        ChildNotReady("temporal", limit_s=2.5, sign="it does not answer", tail=["x"]),
        "temporal was not ready after 2.5 s: it does not answer. Its last lines:\n    x",
    ),
]


@pytest.mark.parametrize(("problem", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_texts(problem: DevProblem, text: str) -> None:
    """Every problem says what was wrong and what to do."""
    assert str(problem) == text


def test_only_the_last_lines_are_shown() -> None:
    """A long output does not push the reason out of the terminal."""
    text = str(ChildFailed("redis", exit_code=1, tail=[f"line {n}" for n in range(100)]))
    assert len(text.splitlines()) == SHOWN_LINES + 1
    assert text.endswith("line 99")
    assert "line 69\n" not in text
