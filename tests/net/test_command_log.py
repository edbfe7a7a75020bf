"""The log of single commands: what a line holds, and how many there are."""

from __future__ import annotations

import math
import re

import pytest
from structlog.testing import capture_logs

from sidecar.commands.table import COMMANDS
from sidecar.errors import RedisRefused, Uncertain
from sidecar.memory.label import label
from sidecar.memory.requests import CountRequest, InfoRequest, Request
from sidecar.memory.tracing import Untraced
from sidecar.net.command_log import CommandLog
from sidecar.session.actions import Ticket
from tests.commands.test_traceparent import VALUE
from tests.support.addressing import addressing

ID = re.compile(r"[0-9a-f]{12}")
LABEL = label("default", "secret-name")


def ticket(request: Request | None = None, outcome: str = "ok") -> Ticket:
    if request is None:
        request = InfoRequest(addressing().resolve(b"default:secret-name"))
    made = Ticket(COMMANDS[b"MEMINFO"], request, 0.0, size=42, silent=False)
    made.outcome = outcome
    return made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_slow_command() -> None:
    """Its line says which command, on which memory by its label, and how long it took: no word of its arguments."""
    with capture_logs() as lines:
        CommandLog(slow_ms=100).slow(ticket(), 0.12345)
    (line,) = lines
    assert ID.fullmatch(line.pop("request"))
    assert line == {
        "event": "command.slow",
        "log_level": "warning",
        "command": "MEMINFO",
        "memory": LABEL,
        "outcome": "ok",
        "request_bytes": 42,
        "ms": 123.5,
    }


@pytest.mark.parametrize(
    ("problem", "more"),
    [
        (
            Uncertain("connection reset"),
            {"why": "Redis went away after a command was sent (connection reset)"},
        ),
        (RedisRefused("ERR value 'secret-name' is wrong"), {"why": "ERR"}),
        (KeyError("x"), {"exc_info": None}),
    ],
)
def test_a_failure(problem: Exception, more: dict[str, object]) -> None:
    """Its id is what the reply ends with; a bug has its traceback, and texts of others are left out."""
    if "exc_info" in more:
        more = {"exc_info": problem}
    with capture_logs() as lines:
        request = CommandLog(slow_ms=0).failed(ticket(outcome="ERR"), problem, 0.001)
    assert ID.fullmatch(request)
    common = {"command": "MEMINFO", "outcome": "ERR", "memory": LABEL, "request_bytes": 42, "ms": 1.0}
    assert lines == [{"event": "command.failed", "log_level": "error", "request": request, **common, **more}]


def test_a_traced_command() -> None:
    """Its line names the trace."""
    traced = ticket()
    traced.span = Untraced().command("MEMINFO", VALUE)
    with capture_logs() as lines:
        CommandLog(slow_ms=100).slow(traced, 1.0)
    assert lines[0]["trace"] == VALUE.split("-")[1]


def test_a_command_without_a_memory() -> None:
    """Its line names none."""
    with capture_logs() as lines:
        CommandLog(slow_ms=100).slow(ticket(CountRequest(["a"])), 1.0)
    assert "memory" not in lines[0]


def test_the_number_of_lines_is_bounded() -> None:
    """A burst is written down, then as many as a second has room for; the next line says how many were left out."""
    clock = Clock()
    log = CommandLog(slow_ms=100, lines_per_s=2, burst=3, clock=clock)
    with capture_logs() as lines:
        assert [bool(log.failed(ticket(), Uncertain("x"), 0.0)) for _ in range(5)] == [True, True, True, False, False]
        clock.now = 0.5
        assert log.failed(ticket(), Uncertain("x"), 0.0)
        log.slow(ticket(), 1.0)
        clock.now = 100.0
        assert [bool(log.failed(ticket(), Uncertain("x"), 0.0)) for _ in range(4)] == [True, True, True, False]
    assert [line.get("left_out") for line in lines] == [None, None, None, 2, 1, None, None]


@pytest.mark.parametrize(("slow_ms", "slow_s"), [(0, math.inf), (100, 0.1)])
def test_from_when_on_a_command_is_slow(slow_ms: float, slow_s: float) -> None:
    assert CommandLog(slow_ms=slow_ms).slow_s == slow_s
