"""The MEM commands of one client, from their request to the reply that goes out: parsed, run, answered in order.

The counterpart is `session.session`, which says when one may start, and passes the replies on. Who carries a command
out is no business of this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sidecar.commands import traceparent
from sidecar.commands.command import Command
from sidecar.errors import BadMessage, InternalError, ReplyableError
from sidecar.memory.addressing import Memory
from sidecar.memory.requests import AppendRequest, ContextRequest, FlushRequest, Request, asks_to_wait
from sidecar.memory.tracing import Fact, Span
from sidecar.resp.requests import Oversized, Own
from sidecar.session.actions import Ticket, size_of
from sidecar.session.context import ConnectionContext
from sidecar.session.memories import BusyMemories
from sidecar.session.state import ConnectionState
from sidecar.session.telemetry import Telemetry


class OwnCommands:
    """What runs, or has run and waits for its turn to be answered.

    Args:
        commands: our commands by upper-case name.
        context: what templates in keys may name.
        state: what is known about the connection; it is told of every command, too.
        telemetry: is told of every command.

    Attributes:
        running: the tickets, in the order in which they are answered.
    """

    def __init__(
        self,
        commands: Mapping[bytes, Command],
        context: ConnectionContext,
        state: ConnectionState,
        telemetry: Telemetry,
    ) -> None:
        self._commands = commands
        self._context = context
        self._state = state
        self._telemetry = telemetry
        self._busy = BusyMemories()
        self.running: deque[Ticket] = deque()

    def prepare(self, frame: Own | Oversized, now: float, since: float) -> Ticket:
        """Parse a MEM command; what cannot be parsed, or may not run now, has its reply already.

        Args:
            frame: the command.
            now: seconds of the caller's clock.
            since: when it was its turn: before now, where something had to be asked first.
        """
        command = self._commands[frame.name]
        silent = self._state.silent
        refusal = self._state.refusal_for(command.name)
        request: Request | None = None
        span: Span | None = None
        bug: Exception | None = None
        if refusal is None:
            try:
                if isinstance(frame, Oversized):
                    raise BadMessage(frame.limit)
                arguments, at = frame.arguments, command.trace_at
                if at > 0 and traceparent.stands(arguments, at):
                    parent, arguments = traceparent.take(arguments, at)
                    span = self._telemetry.tracer.command(command.name, parent)
                request = command.request(arguments, self._context.resolve)
                if span is not None and isinstance(request, AppendRequest | FlushRequest):
                    request.trace = span.context
            except ReplyableError as problem:
                refusal = problem.reply()
            except Exception as raised:  # the client has others to be answered
                bug = raised
        self._state.command_started()
        ticket = Ticket(command, request, since, size=size_of(frame), silent=silent)
        ticket.span = span
        if refusal is not None:
            ticket.refuse(refusal)
        elif bug is not None:
            self._fail(ticket, bug, now)
        elif isinstance(request, ContextRequest):
            self._render(ticket, self._context.execute(request), now)
        return ticket

    def admit(self, ticket: Ticket) -> bool:
        """Let a command stand in the line; False where it has to wait for another one on the same memory."""
        if not self._busy.admit(ticket):
            return False
        self.running.append(ticket)
        return True

    def answer(self, ticket: Ticket, result: object, now: float) -> None:
        """Write the reply of one that was admitted: what the service answered, or the exception that it raised."""
        self._busy.release(ticket)
        if isinstance(result, BaseException):
            self._fail(ticket, result, now)
        else:
            self._render(ticket, result, now)

    def leave(self, now: float) -> Ticket:
        """Take the first one, which has its reply, out of the line."""
        ticket = self.running.popleft()
        seconds = now - ticket.started
        telemetry = self._telemetry
        telemetry.observe(ticket.command.name, ticket.outcome, seconds)
        if seconds >= telemetry.slow_s and not ticket.written_down and not asks_to_wait(ticket.request):
            telemetry.log.slow(ticket, seconds)
        if ticket.span is not None:
            _end_span(ticket.span, ticket)
        return ticket

    def _render(self, ticket: Ticket, result: object, now: float) -> None:
        try:
            ticket.reply = ticket.command.encode(result, self._state.protocol)
        except Exception as bug:  # the caller serves other clients too
            failure: Exception | None = bug
        else:
            failure = None
        if failure is not None:
            self._fail(ticket, failure, now)

    def _fail(self, ticket: Ticket, problem: BaseException, now: float) -> None:
        """Answer with an error; one that the client can do nothing about is written down."""
        shown = problem if isinstance(problem, ReplyableError) else InternalError()
        ticket.refuse(shown.reply())
        if shown.clients_fault or not isinstance(problem, Exception):  # cancelled: the process is being stopped
            return
        ticket.written_down = self._telemetry.log.failed(ticket, problem, now - ticket.started)
        if ticket.written_down:
            ticket.refuse(shown.reply(ticket.written_down))


def _end_span(span: Span, ticket: Ticket) -> None:
    memory: Memory | None = getattr(ticket.request, "memory", None)
    facts: dict[str, Fact] = {} if memory is None else {"definition": memory.definition.id}
    if ticket.written_down:
        facts["request"] = ticket.written_down
    span.end(None if ticket.outcome == "ok" else ticket.outcome, facts)
