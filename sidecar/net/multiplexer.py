"""One connection to Redis that the MEM commands of one identity share, reconnected by itself.

Everything that is called within one turn of the event loop leaves in one write, so Redis answers fifty clients with a
few system calls. When the connection breaks, what Redis may have executed is sent again if that is harmless
(`resend`), in the old order, and is `UNCERTAIN` otherwise; what was never sent waits for the next connection until
its deadline and is then `UNAVAILABLE`. How a connection is opened, and as whom, is in `net.greeting`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

import structlog

from sidecar.errors import RedisRefused, Unavailable, Uncertain, logged
from sidecar.net.greeting import is_passing, open_link
from sidecar.net.link import Connect, Link
from sidecar.resp.watched import Credentials
from sidecar.resp.wire import pack
from sidecar.store.pipe import Argument, Reply
from sidecar.store.scripts import Script, load

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0
"""Waits between attempts to connect double from the first to the longest, with jitter."""

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Requests held for sending or resending; beyond it new ones are refused instead of filling the memory."""

TICK_S = 0.25
"""How often deadlines are looked at."""

DRAIN_POLL_S = 0.01
"""How often a shutdown looks whether the last reply has come."""

QUIET_S = 1.0
"""How long a lost connection that nobody needs stays away: after a CLIENT KILL one counts only one's own."""

REPLICA_PAUSE_S = 1.0
"""A connection that met READONLY is replaced at most this often: a failover takes seconds, and so may be repeated."""

log = structlog.get_logger()


class _Call:
    """One command from its call to its reply."""

    __slots__ = ("command", "deadline", "done", "left_at", "resend", "resent", "script", "sent", "size")

    def __init__(
        self,
        command: tuple[Argument, ...],
        script: Script | None,
        done: Callable[[Reply], None],
        resend: bool,
        deadline: float,
    ) -> None:
        self.command = command
        self.script = script
        self.done = done
        self.resend = resend
        self.deadline = deadline
        self.sent = False
        self.resent = False
        self.size = 0
        self.left_at = 0.0  # of the first of those that left in one write, on `monotonic`


class Multiplexer:
    """Implements `store.pipe.Pipe`.

    Args:
        connect: opens a connection to where Redis is now.
        credentials: as whom; None: as a new connection is.
        database: where the memories are.
        deadline_s: how long a command may take in all, reconnects included.
        on_reconnect: is called each time a broken connection has been replaced.
        on_replica: is called when Redis refused a write as a replica does; the connection is replaced then.
        on_round_trip: is told the seconds from each write of commands to the first reply to it.
        on_refused: is told each error of Redis's.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        credentials: Credentials | None = None,
        database: int = 0,
        deadline_s: float = 5.0,
        on_reconnect: Callable[[], None] = lambda: None,
        on_replica: Callable[[], None] = lambda: None,
        on_round_trip: Callable[[float], None] = lambda _: None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._dial = connect
        self._credentials = credentials
        self._database = database
        self._on_replica = on_replica
        self._on_round_trip = on_round_trip
        self._on_refused = on_refused
        self._replica_since = -REPLICA_PAUSE_S
        self._refusal: RedisRefused | None = None  # why Redis does not let this identity in
        self._deadline_s = deadline_s
        self._on_reconnect = on_reconnect
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Call] = deque()  # not sent on the present connection
        self._sent: deque[_Call] = deque()
        self._held_bytes = 0
        self._scripts: dict[str, Script] = {}
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._wanted = asyncio.Event()  # somebody needs a connection, and there is none
        self._flush_scheduled = False
        self._why = self._logged_why = "not connected yet"

    @property
    def connected(self) -> bool:
        """Whether Redis is reachable as far as we know."""
        return self._link is not None

    def call(self, command: Sequence[Argument], done: Callable[[Reply], None], *, resend: bool) -> None:
        """Send a command; see `Pipe.call`."""
        self._enqueue(tuple(command), None, done, resend)

    def call_script(
        self,
        name: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        done: Callable[[Reply], None],
        *,
        resend: bool,
    ) -> None:
        """Run a script by its SHA-1, and by its text where Redis does not know it; see `Pipe.call_script`."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = load(name)
        self._enqueue(("EVALSHA", script.sha, len(keys), *keys, *arguments), script, done, resend)

    async def run(self) -> None:
        """Keep a connection, until cancelled. Commands may be called before it is up."""
        ticker = asyncio.create_task(self._watch_deadlines(), name="multiplexer-deadlines")
        retry_s = FIRST_RETRY_S
        try:
            while True:
                problem = await self._try_to_connect()
                if problem is not None:
                    self._not_connected(problem)
                    if self._refusal is not None:
                        self._wanted.clear()
                        await self._wanted.wait()  # not by itself: every attempt is a failed login in Redis's ACL LOG
                    await asyncio.sleep(retry_s * random.uniform(0.5, 1.5))
                    retry_s = min(retry_s * 2, LONGEST_RETRY_S)
                    continue
                retry_s = FIRST_RETRY_S
                await self._lost.wait()
                self._on_reconnect()
                if not self._sent and not self._waiting:
                    await self._quiet()
        finally:
            ticker.cancel()  # and not awaited here: see tests/compiled/test_handlers.py
            if self._link is not None:
                self._link.abort()
            self._refuse_all()

    async def _quiet(self) -> None:
        self._wanted.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await self._wanted.wait()

    def welcome(self) -> None:
        """Take note that Redis has just accepted the credentials: what it refused before waits for the connection."""
        self._refusal = None
        self._wanted.set()

    async def drained(self, limit_s: float) -> None:
        """Wait until every command has its reply, at most `limit_s`."""
        for _ in range(round(limit_s / DRAIN_POLL_S)):
            if not self._sent and not self._waiting:
                return
            await asyncio.sleep(DRAIN_POLL_S)

    async def _try_to_connect(self) -> Exception | None:
        """Connect, or return why that did not work."""
        try:
            await self._connect()
        except (OSError, TimeoutError, RedisRefused) as problem:
            return problem
        return None

    async def _connect(self) -> None:
        """Open a connection, and send what the last one left."""
        self._lost.clear()
        link = await open_link(self._dial, self._credentials, self._database)
        link.serve(self)
        self._refusal = None
        for call in reversed(self._sent):  # the old order, ahead of what came later
            call.resent = True
            call.left_at = 0.0
            self._waiting.appendleft(call)
        self._sent.clear()
        self._link = link
        self._flush()

    def _not_connected(self, problem: Exception) -> None:
        """Note why there is no connection; where Redis does not let us in, nobody waits for it in vain."""
        why = str(problem) or type(problem).__name__
        if why != self._why:
            self._why, self._logged_why = why, logged(problem)
            log.warning("redis.unreachable", why=self._logged_why)
        self._refusal = problem if isinstance(problem, RedisRefused) and not is_passing(problem) else None
        if self._refusal is not None:
            self._refuse_all()

    def _enqueue(
        self,
        command: tuple[Argument, ...],
        script: Script | None,
        done: Callable[[Reply], None],
        resend: bool,
    ) -> None:
        if self._refusal is not None:
            self._wanted.set()
            self._loop.call_soon(done, self._refusal)
            return
        if self._held_bytes > MAX_HELD_BYTES:
            self._loop.call_soon(done, Unavailable(f"more than {MAX_HELD_BYTES} bytes of commands wait already"))
            return
        call = _Call(command, script, done, resend, self._loop.time() + self._deadline_s)
        if self._link is None:  # otherwise it leaves within this turn of the loop, and is measured then
            call.size = sum(len(part) for part in command if not isinstance(part, int))
            self._held_bytes += call.size
            self._wanted.set()
        self._waiting.append(call)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send everything that waits, in one write."""
        self._flush_scheduled = False
        link = self._link
        if link is None or not self._waiting:
            return
        packed = []
        for call in self._waiting:
            data = pack(call.command)
            packed.append(data)
            self._held_bytes += len(data) - call.size
            call.size = len(data)
            call.sent = True
        self._waiting[0].left_at = monotonic()
        self._sent.extend(self._waiting)
        self._waiting.clear()
        link.write(packed)

    def replied(self, reply: Reply) -> None:
        """Hand the reply to the oldest command under way."""
        call = self._sent.popleft()
        if call.left_at:
            self._on_round_trip(monotonic() - call.left_at)
            call.left_at = 0.0
        if isinstance(reply, bytes):  # nearly always
            self._held_bytes -= call.size
            call.done(reply)
            return
        if isinstance(reply, RedisRefused) and reply.line.startswith("NOSCRIPT") and call.script is not None:
            call.command = ("EVAL", call.script.source, *call.command[2:])
            call.script = None
            self._waiting.append(call)
            self._flush()
            return
        self._held_bytes -= call.size
        if call.resent and isinstance(reply, RedisRefused):
            # The first try may have been executed, whatever this one is told (READONLY after a failover, say).
            call.done(Uncertain(f"and now answers {reply.line}", f"and now answers {reply.logged}"))
        else:
            call.done(reply)
        if isinstance(reply, RedisRefused):
            self._on_refused(reply.line)
            if reply.line.startswith("READONLY"):
                self._met_a_replica()

    def lost(self, why: str) -> None:
        """The connection broke: sort out what may be sent again."""
        self._link = None
        self._why = self._logged_why = why
        uncertain = [call for call in self._sent if not call.resend]
        self._sent = deque(call for call in self._sent if call.resend)
        for call in uncertain:
            self._fail(call)
        self._lost.set()

    def _met_a_replica(self) -> None:
        """Look for the master anew. What is under way is refused by the replica too, and is resent to the master."""
        now = self._loop.time()
        if self._link is None or now - self._replica_since < REPLICA_PAUSE_S:
            return
        self._replica_since = now
        self._on_replica()
        self._loop.call_soon(self._leave, self._link)  # not at once: the replies that came with this one count

    def _leave(self, link: Link) -> None:
        if link is self._link:
            link.abort()
            self.lost("it is a replica now")

    def _fail(self, call: _Call) -> None:
        self._held_bytes -= call.size
        if call.sent:
            call.done(Uncertain(self._why, self._logged_why))
        else:
            call.done(self._refusal or Unavailable(self._why, self._logged_why))

    def _refuse_all(self) -> None:
        while self._sent or self._waiting:
            self._fail((self._sent or self._waiting).popleft())

    async def _watch_deadlines(self) -> None:
        """Give up on commands whose time is over. A connection that does not answer is given up with them."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._loop.time()
            if self._sent and self._sent[0].deadline < now and self._link is not None:
                why = self._why = self._logged_why = f"no reply within {self._deadline_s:g} s"
                self._link.abort()
                self.lost(why)
            for queue in (self._sent, self._waiting):
                while queue and queue[0].deadline < now:
                    self._fail(queue.popleft())
