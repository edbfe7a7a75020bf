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

Under CLIENT REPLY OFF no fence would come back, so there the fence goes in front of it. What else has to be known
before a MEM command may run, such as the Redis user that it runs as, is the business of `session.state`; what becomes
of one that may, that of `session.own_commands`.

COMMAND is forwarded between two fences, and our commands are put into its answer; inside a transaction it passes as it
is, because a fence would make EXEC fail.

No socket, no clock: the caller passes `now` in. The session does not know what a command does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from sidecar.commands.command import Command
from sidecar.commands.merging import merge
from sidecar.commands.resolving import Resolve
from sidecar.errors import NotIdentified, ReplyableError
from sidecar.resp.fence import Fence, Turn
from sidecar.resp.pushes import PushBoundary
from sidecar.resp.requests import Forward, Oversized, Own, RequestFramer
from sidecar.resp.watched import Hint
from sidecar.session.actions import (
    Action,
    CloseClient,
    CloseRedis,
    Identify,
    Run,
    Stop,
    Ticket,
    ToClient,
    ToRedis,
    size_of,
)
from sidecar.session.context import ConnectionContext
from sidecar.session.description import Description
from sidecar.session.limits import MAX_PENDING_BYTES, MAX_RUNNING_COMMANDS, Limits
from sidecar.session.own_commands import OwnCommands
from sidecar.session.state import ConnectionState, Need
from sidecar.session.telemetry import Telemetry


class Session:
    """The state of one client connection.

    Args:
        commands: our commands by upper-case name.
        resolve: finds the memory that a key names.
        nonce: returns hexadecimal digits that nobody can guess, new ones at each call.
        telemetry: is told of each MEM command.
        limits: what one client may ask for.
    """

    def __init__(
        self,
        *,
        commands: Mapping[bytes, Command],
        resolve: Resolve,
        nonce: Callable[[], bytes],
        telemetry: Telemetry,
        limits: Limits | None = None,
    ) -> None:
        self._commands = commands
        self._context = ConnectionContext(resolve)
        self._nonce = nonce
        limits = limits or Limits()
        self._max_pending_commands = limits.pending_commands
        self._now = 0.0
        self._framer = RequestFramer(commands, max_bytes=limits.request_bytes)
        self._waiting: deque[Forward | Own | Oversized | Ticket] = deque()
        self._pending_bytes = 0
        self._state = ConnectionState()
        self._own = OwnCommands(commands, self._context, self._state, telemetry)
        self._running = self._own.running
        self._fence: Fence | None = None
        self._identifying = False
        self._asked_at = (
            -1.0
        )  # since when the MEM command at the head waits for what we ask for its sake; -1: it does not
        self._described: Description | None = None  # the COMMAND whose answer comes before the fence
        self._pushes = PushBoundary()
        self._client_gone = False
        self._redis_gone = False
        self._draining = False
        self._patient = True  # whether a command may wait for what it asks for, such as a lock
        self._closing: CloseRedis | CloseClient | None = None
        self._held = False
        self._actions: list[Action] = []

    @property
    def full(self) -> bool:
        """Whether the client should not be read from for now."""
        return (
            len(self._waiting) + len(self._running) > self._max_pending_commands
            or self._pending_bytes > MAX_PENDING_BYTES
            or (self._draining and self._framer.between_requests)
        )

    @property
    def held_bytes(self) -> int:
        """Bytes of requests that are kept here: unfinished, waiting, or run as MEM commands."""
        return self._framer.held_bytes + self._pending_bytes

    @property
    def broken(self) -> bool:
        """Whether the client has sent what is no request."""
        return self._framer.broken

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

    @property
    def running(self) -> bool:
        """Whether a MEM command runs, or has run and waits for its turn to be answered."""
        return bool(self._running)

    def passes(self, data: bytes) -> bool:
        """Whether these bytes from the client go to Redis at once, and nothing else is to be done. If so, it is noted.

        `client_bytes` would do the same, and much more that is not needed: most traffic takes this way. It is closed
        while anything waits that the bytes must not overtake, and to the first ones after a fence, which change what
        is known about the connection.
        """
        return (
            self._fence is None
            and not self._waiting
            and not self._running
            and not self._draining
            and not self._redis_gone
            and self._state.settled
            and self._framer.passes(data)
        )

    @property
    def replies_pass(self) -> bool:
        """Whether bytes from Redis go to the client at once, and nothing else is to be done: see `passes`."""
        return self._state.turn is None and self._fence is None and not self._client_gone and not self._draining

    def client_bytes(self, data: bytes, now: float) -> list[Action]:
        """Take bytes from the client."""
        self._now = now
        if self._redis_gone or (self._draining and self._framer.between_requests):
            return []
        for frame in self._framer.receive(data):
            blocked = self._waiting or self._running or self._fence is not None
            if isinstance(frame, Forward) and not blocked and (frame.hint is None or self._may_pass(frame)):
                self._forward(frame)
                continue
            self._pending_bytes += size_of(frame)
            self._waiting.append(frame)
        return self._advance()

    def redis_bytes(self, data: bytes, now: float) -> list[Action]:
        """Take bytes from the connection's own upstream."""
        self._now = now
        while data and self._fence is not None:
            before, passed, data = self._fence.receive(data)
            self._answered(before)
            if passed is None:
                return self._take()
            fence, self._fence = self._fence, None
            self._describe()
            self._state.fence_passed(fence, passed)
            self._advance_queue()
        if self._state.turn is None:
            self._to_client(data)
        elif data:
            self._to_client(self._pushes.receive(data))
        return self._advance() if self._client_gone or self._draining else self._take()

    def identified(self, problem: ReplyableError | None, now: float) -> list[Action]:
        """Take the outcome of an `Identify`: None, or why MEM commands cannot run as the client's user."""
        self._now = now
        self._identifying = False
        line = None if problem is None else problem.reply()
        self._state.identified(line, lasts=isinstance(problem, NotIdentified))
        return self._advance()

    def completed(self, ticket: Ticket, result: object, now: float) -> list[Action]:
        """Take the outcome of a `Run`: what the service answered, or the exception that it raised.

        Any other exception than a `ReplyableError` is a bug.
        """
        self._now = now
        self._own.answer(ticket, result, now)
        return self._advance()

    def client_eof(self) -> list[Action]:
        """The client sends nothing more. What it sent still takes effect, but does not wait.

        It may read its replies yet, and most likely it has gone: Redis ends a BLPOP then, too, and a lock that is
        granted to nobody would keep everybody out.
        """
        self._client_gone = True
        return self.nobody_waits() + self._advance()

    def nobody_waits(self) -> list[Action]:
        """Nobody will read the replies. Commands still take effect; those that would wait for something do not."""
        self._patient = False
        self._actions += [Stop(ticket) for ticket in self._running if ticket.waits and ticket.reply is None]
        return self._take()

    def redis_eof(self) -> list[Action]:
        """The upstream is gone. MEM commands that run are still answered; nothing else can be."""
        self._redis_gone = True
        self._answered(self._pushes.release() if self._fence is None else self._fence.release())
        self._describe()
        if self._fence is not None:
            self._waiting.clear()
        self._fence = None
        return self._advance()

    def drain(self) -> list[Action]:
        """Take no further request, and close both sides when all that was taken has been answered.

        A request whose first part Redis has got is taken to its end.
        """
        self._draining = True
        self._framer.finishing = True
        return self.nobody_waits() + self._advance()

    # ---- what happens to the queue ----

    def _advance(self) -> list[Action]:
        self._advance_queue()
        if self._client_gone and not self._redis_gone:
            self._abandon()
        if self._fence is None and self.idle:
            if self._client_gone or self._redis_gone:
                self._close(CloseClient() if self._redis_gone else CloseRedis())
            elif self._draining and self._framer.between_requests:
                self._end_draining()
        return self._take()

    def _abandon(self) -> None:
        """End the upstream behind the fence of a client that has left a BLPOP, say, if nothing has to follow the fence.

        Redis then drops it at once, with what stands behind. Otherwise not: Redis drops replies too, and the fence's.
        """
        state, fence = self._state, self._fence
        last = (
            fence is not None and (fence.asks or state.asked) and not any(isinstance(f, Forward) for f in self._waiting)
        )
        if state.perhaps_blocked and last:
            self._close(CloseRedis())

    def _close(self, closing: CloseRedis | CloseClient) -> None:
        if closing != self._closing:
            self._closing = closing
            self._actions.append(closing)

    def _end_draining(self) -> None:
        """Close, once a last fence has come back where replies may be outstanding and are to be had."""
        state = self._state
        if state.turn is None and not state.untouched and not state.replies_off:
            self._send_fence()
        elif self._closing is None:
            self._close(CloseClient())
            self._actions.append(CloseRedis())

    def _advance_queue(self) -> None:
        """Start what may start, in order, and pass on the replies that are ready."""
        self._flush_replies()
        while self._waiting and self._fence is None and not self._identifying:
            frame = self._waiting[0]
            if isinstance(frame, Forward):
                if self._running:
                    return
                if self._redis_gone:
                    self._waiting.clear()
                    return
                if not self._may_pass(frame):
                    self._ask(self._state.need_before_silence())
                    return
                self._pending_bytes -= len(frame.data)
                self._forward(frame)
            elif (
                self._ask_for_own()
                or self._held
                or len(self._running) >= MAX_RUNNING_COMMANDS
                or not self._start(frame)
            ):
                return
            self._waiting.popleft()
            self._flush_replies()  # it may have been refused at once

    def _ask_for_own(self) -> bool:
        """Ask for what must be known before a MEM command may run; False if there is nothing."""
        need = self._state.need()
        if need is None:
            return False
        if self._asked_at < 0 and not self._state.perhaps_blocked:  # how long a BLPOP takes is its client's wish
            self._asked_at = self._now
        return self._ask(need)

    def _ask(self, need: Need | None) -> bool:
        """Ask for what is not known; False if there is nothing."""
        if need is None:
            return False
        if need is Need.IDENTITY:
            self._identifying = True
            self._actions.append(Identify(self._state.candidates, self._state.user))
        elif self._redis_gone:
            self._waiting.clear()  # nobody can tell any more whether it is their turn
        else:
            self._send_fence(ask=need is Need.ASK)
        return True

    def _take(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions

    def _to_client(self, data: bytes) -> None:
        if data:
            self._actions.append(ToClient(data))

    # ---- forwarded commands ----

    def _may_pass(self, frame: Forward) -> bool:
        """Whether a command may go to Redis without a fence before it.

        CLIENT REPLY OFF may not, because no fence would come back afterwards: a client that has not logged in could ask
        for silence, be refused, and be taken for silent. COMMAND may not, because its answer must be told from others.
        In a transaction a fence would make EXEC fail, so there both pass; behind a SKIP it would be what is skipped.
        """
        state = self._state
        if frame.hint is Hint.REPLIES_OFF:
            return state.replies_off or state.perhaps_in_transaction or state.need_before_silence() is None
        if frame.hint is Hint.DESCRIPTION:
            return state.unanswered or state.perhaps_in_transaction or state.need_before_silence() is None
        return True

    def _forward(self, frame: Forward) -> None:
        state = self._state
        half = b"" if state.turn is None else self._pushes.release()
        self._to_client(half)  # of a push: its rest would be taken for the beginning of an answer to COMMAND
        if frame.hint is Hint.RESET:
            self._context.clear()
        described = frame.hint is Hint.DESCRIPTION and state.turn is Turn.RUN and not state.replies_off and not half
        state.forwarded(frame)
        self._actions.append(ToRedis(frame.data))
        if described and frame.words is not None:
            self._described = Description(frame.words)
            self._send_fence()

    def _send_fence(self, *, ask: bool = False) -> None:
        if self._state.turn is not None:
            self._to_client(self._pushes.release())
        self._fence = Fence(self._nonce(), ask=ask)
        self._actions.append(ToRedis(self._fence.request))

    def _answered(self, data: bytes) -> None:
        """Pass on bytes in front of the fence, or keep them where our commands are to be put in."""
        if self._described is not None and not self._described.too_long(data):
            return
        self._describe()
        self._to_client(data)

    def _describe(self) -> None:
        """Pass on the answer to COMMAND, whole or not, with our commands in it."""
        described, self._described = self._described, None
        if described is not None:
            answer = bytes(described.answer)
            self._to_client(merge(described.words, answer, self._commands, self._state.protocol))

    # ---- MEM commands ----

    def _start(self, item: Own | Oversized | Ticket) -> bool:
        """Start a MEM command; False if it has to wait for another one on the same memory."""
        if isinstance(item, Ticket):
            ticket = item
        else:
            since, self._asked_at = self._asked_at, -1.0
            ticket = self._own.prepare(item, self._now, since if since >= 0 else self._now)
        if not self._own.admit(ticket):
            self._waiting[0] = ticket  # parsed once, however often it is tried
            return False
        if ticket.reply is None:
            self._actions.append(Run(ticket))
            if ticket.waits and not self._patient:
                self._actions.append(Stop(ticket))
        return True

    def _flush_replies(self) -> None:
        """Send the replies at the head of the line; a client that asked for none gets none."""
        while self._running and self._running[0].reply is not None:
            ticket = self._own.leave(self._now)
            self._pending_bytes -= ticket.size
            if not ticket.silent:
                self._to_client(ticket.reply or b"")
