"""One client connection as a state machine: bytes in, actions out. Its counterpart with sockets is `net.connection`.

The rules:

- Commands take effect in the order in which they were sent, and are answered in that order.
- What is not ours goes to Redis as it came, on the connection's own upstream, and pipelines freely.
- A MEM command is a barrier against forwarded commands: it waits until all that was forwarded before it has been
  answered (a fence tells, see `resp.fence`), and what follows waits for its reply.
- MEM commands pipeline among themselves, unless they concern the same memory; appends do even then, because the store
  keeps appends to one memory in order.

What a MEM command may do after the fence:

    Turn             the MEM command                                        the next one, without a forward in between
    RUN              runs                                                   runs
    REFUSED          is answered with Redis's refusal, its name filled in   the same
    IN_TRANSACTION   is answered with an error; EXEC fails, as in Redis     the same
    SILENT           runs without an answer (CLIENT REPLY SKIP)             runs
    ANSWERED         does not run: the client has Redis's answer already    needs a fence of its own

Under CLIENT REPLY OFF no fence would come back, so there the fence goes in front of it.

No socket, no clock: the caller passes `now` in. The session does not know what a command does.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidecar.commands.table import Command, Resolve
from sidecar.errors import INTERNAL_ERROR, BadMessage, ReplyableError
from sidecar.memory.requests import AppendRequest, Request
from sidecar.resp import replies
from sidecar.resp.fence import Fence, Passed, Turn
from sidecar.resp.pushes import PushBoundary
from sidecar.resp.requests import Forward, Hint, Oversized, Own, RequestFramer

MAX_PENDING_COMMANDS = 1_024
"""Most commands of one client that may wait or run; more stay in the socket. Pipelines are rarely longer."""

MAX_RUNNING_COMMANDS = 128
"""Most MEM commands of one client that run at once: bounds the replies that are made for a client that reads none."""

MAX_PENDING_BYTES = 4 * 1024 * 1024
"""Most bytes of one client's commands that may wait, or run as MEM commands; more stay in the socket."""


@dataclass(slots=True)
class ToRedis:
    """Write these bytes to the connection's own upstream."""

    data: bytes


@dataclass(slots=True)
class ToClient:
    """Write these bytes to the client."""

    data: bytes


@dataclass(slots=True)
class Run:
    """Execute the ticket's request and call `Session.completed` with the outcome."""

    ticket: Ticket


@dataclass(slots=True)
class CloseRedis:
    """Nothing more will be sent: close the upstream."""


@dataclass(slots=True)
class CloseClient:
    """Everything was answered: close the client."""


Action = ToRedis | ToClient | Run | CloseRedis | CloseClient


class Ticket:
    """One MEM command from its start to its reply. `now` is when it was started, in seconds of the caller's clock."""

    __slots__ = ("bug", "command", "memory", "outcome", "queued", "reply", "request", "silent", "size", "started")

    def __init__(self, command: Command, request: Request | None, started: float, *, size: int, silent: bool) -> None:
        self.command = command
        self.request = request
        memory = getattr(request, "memory", None)
        self.memory: str | None = memory.keys.name if memory is not None else None
        self.queued = isinstance(request, AppendRequest) and not request.large
        self.started = started
        self.size = size
        self.silent = silent
        self.outcome = "ok"
        self.reply: bytes | None = None
        self.bug: Exception | None = None

    def refuse(self, line: str) -> None:
        """Answer with an error line."""
        self.outcome = line.split(" ", 1)[0]
        self.reply = replies.error(line)


class Session:
    """The state of one client connection.

    Args:
        commands: our commands by upper-case name.
        resolve: finds the memory that a key names.
        nonce: returns hexadecimal digits that nobody can guess, new ones at each call.
        observe: is told the name, the outcome (`ok` or the first word of the error) and the seconds of each MEM
            command when its reply goes out.
    """

    def __init__(
        self,
        *,
        commands: Mapping[bytes, Command],
        resolve: Resolve,
        nonce: Callable[[], bytes],
        observe: Callable[[str, str, float], None],
    ) -> None:
        self._commands = commands
        self._resolve = resolve
        self._nonce = nonce
        self._observe = observe
        self._now = 0.0
        self._framer = RequestFramer(commands)
        self._waiting: deque[Forward | Own | Oversized | Ticket] = deque()
        self._pending_bytes = 0
        self._running: deque[Ticket] = deque()
        self._busy: Counter[str] = Counter()  # unanswered commands by memory
        self._exclusive: Counter[str] = Counter()  # those among them that nothing may overtake
        self._fence: Fence | None = None
        self._turn: Turn | None = None  # None: something was forwarded since the last fence, or no fence yet
        self._refusal = b""
        self._pushes = PushBoundary()
        self._protocol = 2
        self._protocol_known = True  # a new connection speaks RESP2
        self._replies_off = False
        self._reply_skipped = False
        self._client_gone = False
        self._redis_gone = False
        self._closing: CloseRedis | CloseClient | None = None
        self._held = False
        self._actions: list[Action] = []

    @property
    def full(self) -> bool:
        """Whether the client should not be read from for now."""
        return len(self._waiting) + len(self._running) > MAX_PENDING_COMMANDS or self._pending_bytes > MAX_PENDING_BYTES

    def hold(self, held: bool) -> list[Action]:
        """Start no further MEM command while `held`: its reply would only add to what the client does not read."""
        if held == self._held:
            return []
        self._held = held
        return self._advance()

    @property
    def idle(self) -> bool:
        """Whether no MEM command waits or runs."""
        return not self._waiting and not self._running

    def client_bytes(self, data: bytes, now: float) -> list[Action]:
        """Take bytes from the client."""
        self._now = now
        if self._redis_gone:
            return []
        for frame in self._framer.receive(data):
            blocked = self._waiting or self._running or self._fence is not None
            if isinstance(frame, Forward) and not blocked and not self._silences(frame):
                self._forward(frame)
                continue
            self._pending_bytes += _size(frame)
            self._waiting.append(frame)
        return self._advance()

    def redis_bytes(self, data: bytes, now: float) -> list[Action]:
        """Take bytes from the connection's own upstream."""
        self._now = now
        while data and self._fence is not None:
            before, passed, data = self._fence.receive(data)
            self._to_client(before)
            if passed is None:
                return self._take()
            fence, self._fence = self._fence, None
            self._fence_passed(fence, passed)
            self._advance_queue()
        if self._turn is None:
            self._to_client(data)
        elif data:
            self._to_client(self._pushes.receive(data))
        return self._advance() if self._client_gone else self._take()

    def completed(self, ticket: Ticket, result: object, now: float) -> list[Action]:
        """Take the outcome of a `Run`: what the service answered, or the exception that it raised.

        Any other exception than a `ReplyableError` is a bug, and so is `Ticket.bug`; logging is the caller's business.
        """
        self._now = now
        self._answer(ticket, result)
        return self._advance()

    def client_eof(self) -> list[Action]:
        """The client sends nothing more. What it sent still takes effect."""
        self._client_gone = True
        return self._advance()

    def redis_eof(self) -> list[Action]:
        """The upstream is gone. MEM commands that run are still answered; nothing else can be."""
        self._redis_gone = True
        self._to_client(self._pushes.release() if self._fence is None else self._fence.release())
        self._fence = None
        self._waiting.clear()
        return self._advance()

    # ---- what happens to the queue ----

    def _advance(self) -> list[Action]:
        self._advance_queue()
        if self._fence is None and self.idle and (self._client_gone or self._redis_gone):
            closing = CloseClient() if self._redis_gone else CloseRedis()
            if closing != self._closing:
                self._closing = closing
                self._actions.append(closing)
        return self._take()

    def _advance_queue(self) -> None:
        """Start what may start, in order, and pass on the replies that are ready."""
        self._flush_replies()
        while self._waiting and self._fence is None:
            frame = self._waiting[0]
            if isinstance(frame, Forward):
                if self._running:
                    return
                if self._silences(frame):
                    self._send_fence()
                    return
                self._pending_bytes -= len(frame.data)
                self._forward(frame)
            elif self._needs_fence():
                self._send_fence()
                return
            elif self._held or len(self._running) >= MAX_RUNNING_COMMANDS or not self._start(frame):
                return
            self._waiting.popleft()
            self._flush_replies()

    def _take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _to_client(self, data: bytes) -> None:
        if data:
            self._actions.append(ToClient(data))

    # ---- forwarded commands ----

    def _forward(self, frame: Forward) -> None:
        turn, hint = self._turn, frame.hint
        if turn is not None:
            self._turn = None
            self._to_client(self._pushes.release())
        self._reply_skipped = hint is Hint.REPLY_SKIPPED
        if hint is not None:
            self._changed(hint, turn)
        self._actions.append(ToRedis(frame.data))

    def _changed(self, hint: Hint, turn: Turn | None) -> None:
        """Note what a forwarded command may have changed; `turn` is what was known before it."""
        if hint in (Hint.PROTOCOL, Hint.RESET):
            self._protocol_known = False
        if hint in (Hint.REPLIES_ON, Hint.RESET):
            self._replies_off = False
        elif hint is Hint.REPLIES_OFF and turn in (Turn.RUN, Turn.SILENT):  # otherwise Redis refuses it
            self._replies_off = True

    def _silences(self, frame: Forward) -> bool:
        """Whether a fence must go first, because none would come back afterwards.

        Without it, a client that has not logged in could ask for silence, be refused, and be taken for silent.
        """
        return frame.hint is Hint.REPLIES_OFF and not self._replies_off and self._turn is None

    def _needs_fence(self) -> bool:
        if self._replies_off:
            return False
        return self._turn is None or (self._turn is Turn.RUN and not self._protocol_known)

    def _send_fence(self) -> None:
        if self._turn is not None:
            self._to_client(self._pushes.release())
        self._fence = Fence(self._nonce(), ask_protocol=self._turn is Turn.RUN and not self._protocol_known)
        self._actions.append(ToRedis(self._fence.request))

    def _fence_passed(self, fence: Fence, passed: Passed) -> None:
        self._turn = passed.turn
        self._refusal = passed.refusal
        if passed.turn is Turn.SILENT and not self._reply_skipped:
            self._turn = Turn.ANSWERED
        self._reply_skipped = False
        if fence.asks_protocol:
            # A server without HELLO tells nothing: then the client's own HELLO failed too, and nothing has changed.
            self._protocol = passed.protocol or self._protocol
            self._protocol_known = True

    # ---- MEM commands ----

    def _start(self, item: Own | Oversized | Ticket) -> bool:
        """Start a MEM command; False if it has to wait for another one on the same memory."""
        ticket = item if isinstance(item, Ticket) else self._prepare(item)
        memory = ticket.memory
        if memory is not None:
            if self._busy[memory] and not (ticket.queued and not self._exclusive[memory]):
                self._waiting[0] = ticket  # parsed once, however often it is tried
                return False
            self._busy[memory] += 1
            self._exclusive[memory] += not ticket.queued
        self._running.append(ticket)
        if ticket.request is not None:
            self._actions.append(Run(ticket))
        return True

    def _prepare(self, frame: Own | Oversized) -> Ticket:
        """Parse a MEM command; what cannot be parsed, or may not run now, has its reply already."""
        command = self._commands[frame.name]
        silent = self._replies_off or self._turn in (Turn.SILENT, Turn.ANSWERED)
        refusal = self._refusal_for(command)
        request: Request | None = None
        if refusal is None:
            try:
                if isinstance(frame, Oversized):
                    raise BadMessage(frame.limit)
                request = command.request(frame.arguments, self._resolve)
            except ReplyableError as problem:
                refusal = problem.reply()
        if self._turn is Turn.SILENT:
            self._turn = Turn.RUN
        elif self._turn is Turn.ANSWERED:
            self._turn = None
        ticket = Ticket(command, request, self._now, size=_size(frame), silent=silent)
        if refusal is not None:
            ticket.refuse(refusal)
        return ticket

    def _refusal_for(self, command: Command) -> str | None:
        """Return the error line for a command that may not run in the connection's present state."""
        name = command.name.lower()
        if self._turn is Turn.REFUSED:
            return self._refusal.decode().replace("'echo'", f"'{name}'").removeprefix("-")
        if self._turn is Turn.IN_TRANSACTION:
            return f"ERR '{name}' cannot be part of a transaction; send it before MULTI or after EXEC"
        if self._turn is Turn.ANSWERED:
            return "ERR Redis has answered"  # for the metrics
        return None

    def _answer(self, ticket: Ticket, result: object) -> None:
        if ticket.memory is not None:
            self._busy[ticket.memory] -= 1
            self._exclusive[ticket.memory] -= not ticket.queued
            if not self._busy[ticket.memory]:
                del self._busy[ticket.memory], self._exclusive[ticket.memory]
        if isinstance(result, ReplyableError):
            ticket.refuse(result.reply())
        elif isinstance(result, BaseException):
            ticket.refuse(INTERNAL_ERROR)
        else:
            try:
                ticket.reply = replies.encode(ticket.command.render(result), self._protocol)
            except Exception as bug:  # the caller serves other clients too, and logs it
                ticket.bug = bug
                ticket.refuse(INTERNAL_ERROR)

    def _flush_replies(self) -> None:
        """Send the replies at the head of the line; a client that asked for none gets none."""
        while self._running and self._running[0].reply is not None:
            ticket = self._running.popleft()
            self._observe(ticket.command.name, ticket.outcome, self._now - ticket.started)
            self._pending_bytes -= ticket.size
            if not ticket.silent:
                self._to_client(ticket.reply or b"")


def _size(frame: Forward | Own | Oversized) -> int:
    if isinstance(frame, Forward):
        return len(frame.data)
    return sum(map(len, frame.arguments)) if isinstance(frame, Own) else 0
