"""Whom a session tells about its MEM commands: all of them are counted, few are written down, or traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sidecar.memory.tracing import Tracer, Untraced
from sidecar.session.actions import Ticket


class CommandLog(Protocol):
    """Writes down single commands; `net.command_log.CommandLog` is one."""

    @property
    def slow_s(self) -> float:
        """Seconds after which a command counts as slow; infinite if none ever does."""
        ...

    def failed(self, ticket: Ticket, problem: Exception, seconds: float) -> str:
        """Write down that a command failed, and not by its client's fault.

        Returns:
            The id under which it is there, for the reply; "" if it was not written down.
        """
        ...

    def slow(self, ticket: Ticket, seconds: float) -> None:
        """Write down that the answer to a command took so long, though the client did not ask to wait."""
        ...


class Telemetry:
    """Who is told.

    Args:
        observe: is told the name, the outcome (`ok` or the first word of the error) and the seconds of each MEM command
            when its reply goes out.
        log: writes down those that were slow, or failed.
        tracer: records the spans of those that come with TRACEPARENT.
    """

    __slots__ = ("log", "observe", "slow_s", "tracer")

    def __init__(
        self, *, observe: Callable[[str, str, float], None], log: CommandLog, tracer: Tracer | None = None
    ) -> None:
        self.observe = observe
        self.log = log
        self.slow_s = log.slow_s
        self.tracer: Tracer = tracer or Untraced()
