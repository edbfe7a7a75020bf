"""What a session wants done. Its owner (`net.connection`) does it, in this order, and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.commands.command import Command
from sidecar.memory.requests import AppendRequest, ForkRequest, Request
from sidecar.memory.tracing import Span
from sidecar.resp import replies
from sidecar.resp.requests import Forward, Frame, Own
from sidecar.resp.watched import Credentials


@dataclass(slots=True, init=False)
class ToRedis:
    """Write these bytes to the connection's own upstream."""

    data: bytes

    def __init__(self, data: bytes) -> None:  # written out for the sake of speed: see `results.AppendResult`
        self.data = data


@dataclass(slots=True, init=False)
class ToClient:
    """Write these bytes to the client."""

    data: bytes

    def __init__(self, data: bytes) -> None:  # written out for the sake of speed: see `results.AppendResult`
        self.data = data


@dataclass(slots=True)
class Identify:
    """Find out as which Redis user MEM commands run from now on, and call `Session.identified`.

    Args:
        candidates: what the client logged in with, newest first; None stands for no login at all.
        user: the user that Redis says the connection has; None where it does not say.
    """

    candidates: tuple[Credentials | None, ...]
    user: bytes | None


@dataclass(slots=True, init=False)
class Run:
    """Execute the ticket's request and call `Session.completed` with the outcome."""

    ticket: Ticket

    def __init__(self, ticket: Ticket) -> None:  # written out for the sake of speed: see `results.AppendResult`
        self.ticket = ticket


@dataclass(slots=True)
class Stop:
    """End the wait of a ticket's request, which is being executed: the client has gone, or we must leave."""

    ticket: Ticket


@dataclass(slots=True)
class CloseRedis:
    """Nothing more will be sent: close the upstream."""


@dataclass(slots=True)
class CloseClient:
    """Everything was answered: close the client."""


Action = ToRedis | ToClient | Identify | Run | Stop | CloseRedis | CloseClient


class Ticket:
    """One MEM command from its start to its reply.

    `started` is in seconds of the caller's clock; `waits`: it may wait for something to happen; `written_down`: the id
    under which the log has it, "" where it has not; `span`: of its client's trace, None where it is in none.
    """

    __slots__ = (
        "command", "memories", "outcome", "queued", "reply", "request", "silent", "size", "span", "started", "waits",
        "written_down"
    )  # fmt: skip

    def __init__(self, command: Command, request: Request | None, started: float, *, size: int, silent: bool) -> None:
        self.command = command
        self.request = request
        self.memories = memories_of(request)
        self.queued = isinstance(request, AppendRequest) and not request.large and not request.replace
        self.waits = "blocking" in command.flags
        self.started = started
        self.size = size
        self.silent = silent
        self.outcome = "ok"
        self.reply: bytes | None = None
        self.written_down = ""
        self.span: Span | None = None

    def refuse(self, line: str) -> None:
        """Answer with an error line."""
        self.outcome = line.split(" ", 1)[0]
        self.reply = replies.error(line)


def memories_of(request: Request | None) -> tuple[str, ...]:
    """Return the names of the memories that a request is about: two for a copy, else one or none."""
    memory = getattr(request, "memory", None)
    if memory is None:
        return ()
    return (memory.keys.name, request.source.keys.name) if isinstance(request, ForkRequest) else (memory.keys.name,)


def size_of(frame: Frame) -> int:
    """Return the bytes that a frame keeps while it waits or runs."""
    if isinstance(frame, Forward):
        return len(frame.data)
    return frame.size if isinstance(frame, Own) else 0
