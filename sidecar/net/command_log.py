"""What the log has of single MEM commands: those that were slow, and those that failed by no fault of their client.

Each line has a request id, and an error reply that is ours ends with it, so that whoever sees the reply finds the line.
Nothing of a command's arguments is written down. A line for each command would cost more than the command, so their
number is bounded: after an outage thousands fail in one second for one reason.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from time import monotonic

import structlog

from sidecar.errors import ReplyableError, logged
from sidecar.memory.label import label
from sidecar.memory.tracing import in_trace
from sidecar.session.actions import Ticket

LINES_PER_S = 10.0
BURST = 50
"""Lines in the long run, and at once after a quiet time. What is left out is counted, and the next line says so; the
metrics count every command."""

ID_BYTES = 6
"""Of a request id, which is twice as many hexadecimal digits: among the few that are written down none is like it."""

_log = structlog.get_logger(__name__)


class CommandLog:
    """The log of the commands of all clients of a process.

    Args:
        slow_ms: milliseconds after which a command counts as slow; 0: none ever does.
        lines_per_s, burst: most lines in the long run, and at once after a quiet time.
        clock: seconds that only grow.

    Attributes:
        slow_s: `slow_ms` in seconds, infinite for 0.
    """

    def __init__(
        self,
        *,
        slow_ms: float,
        lines_per_s: float = LINES_PER_S,
        burst: int = BURST,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.slow_s = slow_ms / 1000 if slow_ms else math.inf
        self._lines_per_s = lines_per_s
        self._burst = burst
        self._clock = clock
        self._room = float(burst)
        self._filled = clock()
        self._left_out = 0

    def failed(self, ticket: Ticket, problem: Exception, seconds: float) -> str:
        """Write down a failure: a bug with its traceback; see `session.telemetry.CommandLog`."""
        if not self._has_room():
            return ""
        request = secrets.token_hex(ID_BYTES)
        facts = self._facts(ticket, seconds)
        # Both at the highest level: the reply names the line, so it must be there, whatever is filtered.
        if isinstance(problem, ReplyableError):
            _log.error("command.failed", request=request, **facts, why=logged(problem))
        else:
            _log.error("command.failed", request=request, **facts, exc_info=problem)
        return request

    def slow(self, ticket: Ticket, seconds: float) -> None:
        """Write down a slow command; see `session.telemetry.CommandLog`."""
        if self._has_room():
            _log.warning("command.slow", request=secrets.token_hex(ID_BYTES), **self._facts(ticket, seconds))

    def _facts(self, ticket: Ticket, seconds: float) -> dict[str, object]:
        facts: dict[str, object] = {"command": ticket.command.name, "outcome": ticket.outcome}
        memory = getattr(ticket.request, "memory", None)
        if memory is not None:
            facts["memory"] = label(memory.definition.id, memory.instance)
        if ticket.span is not None:
            facts |= in_trace(ticket.span.context)
        facts |= {"request_bytes": ticket.size, "ms": round(seconds * 1000, 1)}
        if self._left_out:
            facts["left_out"], self._left_out = self._left_out, 0
        return facts

    def _has_room(self) -> bool:
        now = self._clock()
        self._room = min(float(self._burst), self._room + (now - self._filled) * self._lines_per_s)
        self._filled = now
        if self._room < 1:
            self._left_out += 1
            return False
        self._room -= 1
        return True
