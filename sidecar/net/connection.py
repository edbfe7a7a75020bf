"""One client connection: moves bytes between two sockets and a `session.Session`, and decides nothing.

Backpressure goes both ways: the client is not read while Redis does not take its bytes, while too many of its commands
wait, or while it does not read its own replies; Redis is not read while the client does not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import cast

import structlog

from sidecar.errors import ReplyableError
from sidecar.metrics import Metrics
from sidecar.net.find_identity import FindIdentity, Identity
from sidecar.net.held_budget import HeldBudget
from sidecar.net.turn import Turn
from sidecar.net.upstream import Upstream, UpstreamOwner
from sidecar.session.actions import Action, CloseClient, CloseRedis, Identify, Run, Stop, Ticket, ToClient, ToRedis
from sidecar.session.session import Session

WRITE_BUFFER_BYTES = 256 * 1024
"""High mark of both write buffers: several replies of a usual read, and little enough for thousands of clients."""

ABANDONED_S = 5.0
"""How long the commands of a client that has gone may wait for a reply (a BLPOP would wait for ever)."""

MAX_OUTPUT_BYTES = 256 * 1024 * 1024
"""Replies to MEM commands that wait for a client that does not read them; beyond it the client is disconnected.
As Redis's default for replicas; what Redis sends is held back in Redis, under its own client-output-buffer-limit."""

LINGER_S = 2.0
"""How long a client may take to read its last replies after the sidecar has said its last word."""

log = structlog.get_logger(__name__)


Dial = Callable[[UpstreamOwner], Awaitable[Upstream]]


class ClientConnection(asyncio.Protocol):
    """The client end, and owner of the Redis end.

    Args:
        session: the state machine of this connection.
        dial: opens the upstream, or raises `OSError`.
        identify: finds out as whom MEM commands run.
        metrics: counts bytes and clients.
        budget: what all clients together may hold of unfinished and waiting requests.
        turn: at its end replies leave.
        max_output_bytes: replies to MEM commands that may wait for this client.
        on_closed: is told when both ends are gone.
    """

    def __init__(
        self,
        *,
        session: Session,
        dial: Dial,
        identify: FindIdentity,
        metrics: Metrics,
        budget: HeldBudget,
        turn: Turn,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        on_closed: Callable[[ClientConnection], None],
    ) -> None:
        self._session = session
        self._dial = dial
        self._identify = identify
        self._identity: Identity | None = None
        self._max_output_bytes = max_output_bytes
        self._metrics = metrics
        self._budget = budget
        self._turn = turn
        self._replies: list[bytes] = []  # which leave at the end of this turn of the loop
        self._replies_bytes = 0
        self._unsettled = False  # whether that end is awaited
        self._held_bytes = 0  # as reported to the budget
        self._over_budget = False
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._client: asyncio.Transport | None = None
        self._upstream: Upstream | None = None
        self._dialing: asyncio.Task[None] | None = None
        self._early = b""  # what came before there was an upstream
        self._client_writable = True
        self._client_is_read = True  # as asked of the transport; it is cheaper to remember than to ask
        self._redis_writable = True
        self._upstream_is_read = True
        self._client_eof = False
        self._draining = False
        self._lingering = False
        self._gone = False
        self.signs_of_life = 0  # grows as long as replies come, or the client takes them
        self._passed_at = 0.0  # when bytes went to Redis whose answer is measured; 0: none is
        self._todo: deque[Action] = deque()
        self._performing = False
        self._abandoned: asyncio.TimerHandle | None = None

    # ---- the client's socket ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of it
        self._client.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._metrics.clients += 1
        self._metrics.clients_accepted += 1
        self._dialing = self._loop.create_task(self._open_upstream(), name="dial")

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._dialing is not None:
            # Only now can reading be paused: uvloop starts to read after connection_made, whatever that asked for.
            self._early += data
            self._read_client(False)
            self._report_held()
            return
        self._metrics.client_bytes_in += len(data)
        if self._upstream is not None and self._session.passes(data):
            if self._metrics.measurable and not self._passed_at:
                self._metrics.measurable -= 1
                self._passed_at = monotonic()
            self._upstream.write(data)
            return
        self._perform(self._session.client_bytes(data, monotonic()))
        if self._session.full:
            self._throttle()
        else:
            self._settle_later()

    def eof_received(self) -> bool:
        self._client_left()
        return True  # keep the write side: replies to what was sent may still be read

    def pause_writing(self) -> None:
        self._client_writable = False
        self._throttle()

    def resume_writing(self) -> None:
        self._client_writable = True
        self.signs_of_life += 1  # Redis was not read, and may have much to say
        self._throttle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client = None
        self._metrics.clients -= 1
        self._client_left()
        self._perform(self._session.nobody_waits())
        if self._upstream is None and self._dialing is None:
            self._ended()
        else:
            self._throttle()

    def _client_left(self) -> None:
        if self._client_eof:
            return
        self._client_eof = True
        if self._lingering:
            self.close()
            return
        self._abandoned = self._loop.call_later(ABANDONED_S, self._abandon)
        if self._dialing is None:
            self._perform(self._session.client_eof())

    # ---- the upstream's socket ----

    async def _open_upstream(self) -> None:
        try:
            self._upstream = await self._dial(self)
        except OSError:
            self._abort()  # as Redis itself would have refused the connection
            return
        finally:
            self._dialing = None
        # Redis sees our address where it would see the client's: this tells whose connection it is.
        log.debug("client.connected", client=self._peer(), redis_sees=self._upstream.local_address)
        if self._early:
            early, self._early = self._early, b""
            self._report_held()
            self.data_received(early)
        if self._client_eof:
            self._perform(self._session.client_eof())
        if self._draining:
            self._perform(self._session.drain())
        self._throttle()

    def _peer(self) -> object:
        return self._client.get_extra_info("peername") if self._client is not None else None

    def redis_received(self, data: bytes) -> None:
        """Take bytes from Redis."""
        self.signs_of_life += 1
        if self._passed_at:
            self._metrics.forward_seconds.observe(monotonic() - self._passed_at)
            self._passed_at = 0.0
        if self._client is not None and self._session.replies_pass:
            self._metrics.client_bytes_out += len(data)
            self._write_replies()
            self._client.write(data)
            return
        self._perform(self._session.redis_bytes(data, monotonic()))
        self._throttle()

    def redis_lost(self) -> None:
        """Redis is gone; MEM commands that run are still answered."""
        self._upstream = None
        self._perform(self._session.redis_eof())
        if self._client is None:
            self._ended()

    def redis_writable(self, writable: bool) -> None:
        """Redis takes bytes again, or does not."""
        self._redis_writable = writable
        self._throttle()

    # ---- what the session wants done ----

    def _perform(self, actions: list[Action]) -> None:
        """Carry out actions in order. A command may end at once and add to them, so there is one queue."""
        if not actions:
            return
        self._todo.extend(actions)
        if self._performing:
            return
        self._performing = True
        try:
            while self._todo:
                self._act(self._todo.popleft())
        finally:
            self._performing = False

    def _act(self, action: Action) -> None:
        match action:
            case ToClient(data):
                self._reply(data)
            case ToRedis(data):
                # In one write, as they came from the client: some servers answer differently where they come apart.
                parts = [data]
                while self._todo and isinstance(self._todo[0], ToRedis):
                    parts.append(cast("ToRedis", self._todo.popleft()).data)
                if self._upstream is not None:
                    self._upstream.write(b"".join(parts) if len(parts) > 1 else data)
            case Run(ticket):
                assert ticket.request is not None
                assert self._identity is not None
                self._identity.execute(ticket.request, partial(self._completed, ticket))
            case Stop(ticket):
                if self._identity is not None and ticket.request is not None:
                    self._identity.stop(ticket.request)
            case Identify(candidates, user):
                self._identify(candidates, user, self._identified)
            case CloseRedis():
                if self._upstream is not None:
                    self._upstream.finish()
            case CloseClient():
                self._close_client()

    def _reply(self, data: bytes) -> None:
        """Write to the client at the end of this turn, with what else goes to it then."""
        if self._client is None or self._lingering:  # a push, behind the last word
            return
        self._metrics.client_bytes_out += len(data)
        self._settle_later()
        self._replies.append(data)
        self._replies_bytes += len(data)
        if self._replies_bytes > WRITE_BUFFER_BYTES:
            self._write_replies()  # only the transport can say that the client does not keep up

    def _settle_later(self) -> None:
        if not self._unsettled:
            self._unsettled = True
            self._turn.at_end(self._settle)

    def _settle(self) -> None:
        """End a turn in which requests came or were answered."""
        self._unsettled = False
        self._write_replies()
        self._throttle()

    def _write_replies(self) -> None:
        replies = self._replies
        if not replies:
            return
        self._replies, self._replies_bytes = [], 0
        if self._client is not None:
            self._client.write(replies[0] if len(replies) == 1 else b"".join(replies))
            if not self._client_writable:
                self._check_output()

    def _identified(self, outcome: Identity | ReplyableError) -> None:
        problem = outcome if isinstance(outcome, ReplyableError) else None
        if not isinstance(outcome, ReplyableError):
            self._give_identity_back()
            self._identity = outcome
        self._perform(self._session.identified(problem, monotonic()))
        self._throttle()
        self._leave_identity()

    def _leave_identity(self) -> None:
        """Give the identity back once both ends are gone and nothing that the client sent needs it any more."""
        if self._gone and self._session.idle:
            self._give_identity_back()

    def _give_identity_back(self) -> None:
        identity, self._identity = self._identity, None
        if identity is not None:
            identity.release()

    def _completed(self, ticket: Ticket, result: object) -> None:
        self._perform(self._session.completed(ticket, result, monotonic()))
        self._settle_later()
        self._leave_identity()

    def _check_output(self) -> None:
        """Disconnect a client that lets too many replies wait, as Redis does."""
        client = self._client
        if client is None or client.is_closing():
            return
        if client.get_write_buffer_size() > self._max_output_bytes:
            log.warning("client.output_limit", waiting_bytes=client.get_write_buffer_size())
            self._metrics.clients_over_output_limit += 1
            client.abort()

    def _report_held(self) -> None:
        """Tell the budget what this client holds; last, because it may disconnect this very client."""
        held = 0 if self._over_budget or self._gone else self._session.held_bytes + len(self._early)
        if held != self._held_bytes:
            self._held_bytes = held
            self._budget.report(self, held)

    def over_budget(self, held_bytes: int, all_held_bytes: int) -> None:
        """Disconnect: all clients together hold too much of unfinished and waiting requests, and this one most."""
        log.warning("client.held_limit", held_bytes=held_bytes, all_held_bytes=all_held_bytes)
        self._metrics.clients_over_held_limit += 1
        self._over_budget = True
        self._early = b""
        self._abandon()

    def _throttle(self) -> None:
        """Read each side only while the other one keeps up."""
        client = self._client
        keeps_up = self._client_writable or client is None  # what a client that left has sent still takes effect
        if self._upstream is not None and keeps_up != self._upstream_is_read:
            self._upstream_is_read = keeps_up
            if self._upstream.reading(keeps_up):
                self._metrics.redis_pauses += 1
        self._perform(self._session.hold(not keeps_up))
        self._report_held()
        if client is None or self._dialing is not None or self._client_eof or self._lingering:
            return
        wanted = self._client_writable and self._redis_writable and not self._session.full
        if wanted != self._client_is_read and self._read_client(wanted) and not wanted:
            self._metrics.client_pauses += 1

    def _read_client(self, wanted: bool) -> bool:
        """Pause or resume reading from the client; return whether that is a change."""
        client = self._client
        if wanted == self._client_is_read or client is None or client.is_closing():
            return False
        self._client_is_read = wanted
        if wanted:
            client.resume_reading()
        else:
            client.pause_reading()
        return True

    def _abandon(self) -> None:
        """Give up a client that has ended its half of the stream: what it has not read by now it will not get."""
        self.close()
        if self._client is not None:
            self._client.abort()

    def _abort(self) -> None:
        """There is no upstream and will be none."""
        self.close()
        if self._client is None:
            self._ended()

    def _ended(self) -> None:
        """Both ends are gone."""
        self._gone = True
        if self._session.broken:
            self._metrics.protocol_errors += 1
        self._report_held()
        self._leave_identity()
        if self._abandoned is not None:
            self._abandoned.cancel()
        self._on_closed(self)

    def drain(self) -> None:
        """Take no further request, and close when everything that was taken has been answered."""
        self._draining = True
        if self._upstream is not None:  # otherwise it is still being dialled, or lost already
            self._perform(self._session.drain())
            self._throttle()

    def nudge(self) -> None:
        """End the upstream of a connection that is being drained, and says nothing.

        Redis then drops a client that is blocked (BLPOP, XREAD), without taking anything for it. Of any other one it
        executes what it has got, but drops the end of a long reply: so the caller makes sure that Redis is not busy.
        """
        keeps_up = self._client_writable and self._redis_writable
        if self._draining and self._upstream is not None and keeps_up and not self._session.running:
            self._upstream.finish()

    def close(self) -> None:
        """Send what is buffered on both sides, then close them."""
        if self._upstream is not None:
            self._upstream.close()
        if self._client is not None:
            self._write_replies()
            self._client.close()

    def _close_client(self) -> None:
        """Close the client behind its last reply.

        Requests that nobody has read turn a plain close into a reset, which can take replies away that are still under
        way; so, when the sidecar stops, only our half is closed, and the client has a while to close its own.
        """
        client = self._client
        if client is None or client.is_closing():
            return
        self._write_replies()
        if not self._draining or self._client_eof or not client.can_write_eof():
            client.close()
            return
        self._lingering = True
        client.write_eof()
        self._read_client(True)
        self._abandoned = self._loop.call_later(LINGER_S, client.close)
