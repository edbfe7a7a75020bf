"""Listens only while Redis can be reached and may be shown, so that clients are refused as Redis would refuse them.

It watches Redis by one connection without a password. What Redis answers on it does not matter (LOADING, BUSY,
NOAUTH: it is there), except where it tells that clients must not be let in: a Redis without a password behind an
address that other machines can reach, and a cluster. The counterparts are `listener`, which it opens and closes, and
the multiplexer, which has its own connection and its own opinion. It never touches clients that are connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from enum import Enum

import structlog

from sidecar.errors import ConfigurationError, RedisRefused
from sidecar.net.listener import Listener
from sidecar.net.redis_cluster import in_cluster
from sidecar.net.redis_probe import Dial, RedisProbe

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0
"""Waits between attempts double from the first to the longest, with jitter: a hundred sidecars come back apart."""

PING_INTERVAL_S = 5.0
"""How often Redis is asked. A lost connection is noticed at once; this finds a machine that went without a word, and
a password that was taken away."""

CLIENT_NAME = "memsidecar-gate"

QUIET_S = 1.0
"""How long a lost connection stays away unless a client misses Redis: after a CLIENT KILL one counts only one's own."""

SETTLED_S = 1.0
"""A connection that lasted this long is replaced at once; one that is always taken away again is not hunted for."""

MUTE = "Redis cannot be reached (its address closes connections without a word; does it expect TLS?)"

CLUSTER = (
    "Redis runs in cluster mode, which the sidecar cannot stand in front of yet: clients would follow its MOVED "
    "redirections past the sidecar. Use a Redis that is not a cluster (cluster-enabled no)"
)


log = structlog.get_logger(__name__)


def unprotected(where: object) -> str:
    """What is wrong with listening at `where` in front of a Redis that asks for no password, and what to do."""
    return (
        f"Redis asks for no password, and other machines can connect to {where}: everybody could read and change its "
        "data. Set a password in Redis (requirepass or ACL SETUSER), or listen on 127.0.0.1, or, knowing the risk, "
        "turn protected_mode off"
    )


class State(Enum):
    """Why the listener is as it is. Each change is logged once."""

    STARTING = "Redis has not answered yet"
    UP = ""
    DOWN = "Redis cannot be reached"
    REFUSED = "what Redis is must not be shown"
    UNBOUND = "the address cannot be had"


class Gate:
    """Opens and closes a listener.

    Args:
        listener: nobody else opens it; whoever closes it for good ends `run` before.
        dial: opens a connection to Redis.
        protected: refuse other machines as long as Redis asks for no password.
        greeting: commands that log in with our own credentials, for what an anonymous client may not ask; empty: none.
        ping_interval_s: how often Redis is asked.
    """

    def __init__(
        self,
        listener: Listener,
        dial: Dial,
        *,
        protected: bool,
        greeting: Sequence[tuple[str, ...]] = (),
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        self._listener = listener
        self._dial = dial
        self._protected = protected
        self._greeting = greeting
        self._ping_interval_s = ping_interval_s
        self._needs_password = False
        self._state = State.STARTING
        self._reason = State.STARTING.value
        self._missed = asyncio.Event()
        self._first: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def up(self) -> bool:
        """Whether clients can connect."""
        return self._state is State.UP

    @property
    def reason(self) -> str:
        """Why they cannot; empty when they can."""
        return self._reason

    def look(self) -> None:
        """Take note that Redis could not be reached for a client: look at once, instead of after a while."""
        self._missed.set()

    async def first(self) -> int:
        """Wait until the listener is open for the first time, however long Redis is away; return its port.

        Raises:
            ConfigurationError: Redis is there, and must not be shown like this.
            OSError: the listener's address cannot be had.
        """
        return await asyncio.shield(self._first)

    async def run(self) -> None:
        """Watch Redis, until cancelled."""
        try:
            self._needs_password = self._protected and await self._listener.exposed()
        except OSError as problem:
            self._first.set_exception(problem)
            return
        loop = asyncio.get_running_loop()
        retry_s = FIRST_RETRY_S
        mute = 0
        while True:
            began = loop.time()
            try:
                probe = await self._dial(RedisProbe)
            except OSError as problem:
                await self._shut(State.DOWN, f"Redis cannot be reached ({problem.strerror or problem})")
            else:
                passed = await self._watch(probe)
                mute = mute + 1 if probe.mute else 0
                if mute and (mute > 1 or not self.up):  # once may be a CLIENT KILL that came early
                    await self._shut(State.DOWN, MUTE)
                elif passed:
                    retry_s = FIRST_RETRY_S
                    if loop.time() - began > SETTLED_S:
                        await self._quiet()
                        continue
            await asyncio.sleep(retry_s * random.uniform(0.5, 1.5))
            retry_s = min(retry_s * 2, LONGEST_RETRY_S)

    async def _quiet(self) -> None:
        self._missed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await self._missed.wait()

    async def _watch(self, probe: RedisProbe) -> bool:
        """Keep an eye on one connection until it is lost or of no use; return whether clients were let in by it."""
        passed = False
        cluster: bool | None = None
        told: object = None
        try:
            told = await probe.ask("CLIENT", "SETNAME", CLIENT_NAME)  # refused before a password; then it has no name
            while True:
                reply = await probe.ask("PING")
                if self._needs_password and not _asks_for_password(reply):
                    return await self._refuse(unprotected(self._listener))
                if cluster is None:
                    cluster = await in_cluster(probe, self._dial, self._greeting)
                if cluster:
                    return await self._refuse(CLUSTER)
                await self._let_in()
                passed = True
                if await probe.lost_within(self._ping_interval_s):
                    return True
        except TimeoutError:
            # It hangs. Its kernel accepts, so clients may wait for it, as they would in front of it.
            await self._unknown("it does not answer")
        except OSError as problem:
            if not passed and not probe.mute:
                await self._unknown(told.logged if isinstance(told, RedisRefused) else str(problem))
        finally:
            probe.abort()
        return passed

    async def _refuse(self, why: str) -> bool:
        """Keep clients out, and have a new connection ask: one from before a password is set goes on without it."""
        if not self._first.done():
            self._first.set_exception(ConfigurationError([why]))
        await self._shut(State.REFUSED, why)
        return False

    async def _unknown(self, why: str) -> None:
        """Redis is there and has not told what it is: what it told before still counts.

        Where it has told nothing yet, that keeps clients out only if it must have a password.
        """
        if self._state in (State.UP, State.REFUSED):
            return
        if self._needs_password:
            await self._shut(State.DOWN, f"Redis does not tell whether it asks for a password ({why})")
        else:
            await self._let_in()

    async def _let_in(self) -> None:
        try:
            port = await self._listener.open()
        except OSError as problem:
            if not self._first.done():
                self._first.set_exception(problem)
            await self._shut(State.UNBOUND, problem.strerror or str(problem))
            return
        if not self._first.done():
            self._first.set_result(port)
        if self._enter(State.UP, ""):
            log.info("gate.open", address=str(self._listener))

    async def _shut(self, state: State, why: str) -> None:
        await self._listener.close()
        if self._enter(state, why):
            say = log.warning if state is State.DOWN else log.error
            say("gate.closed", address=str(self._listener), why=why)

    def _enter(self, state: State, reason: str) -> bool:
        """Return whether it is news. While a state lasts only its reason changes: no line for every attempt."""
        news = state is not self._state
        self._state, self._reason = state, reason
        return news


def _asks_for_password(reply: object) -> bool:
    # Redis looks at the password before anything else: LOADING, BUSY and NOPERM come from behind it.
    return isinstance(reply, RedisRefused) and reply.line.startswith("NOAUTH")
