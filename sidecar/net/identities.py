"""As whom MEM commands run: one connection to Redis per user, shared by all clients that logged in as this user.

So Redis itself decides what a client may do with a memory, by the rights that its user has at that moment. A client's
user is what Redis says (ACL WHOAMI, on the client's own connection), and where Redis may not say, the newest of the
client's credentials that Redis accepts now. Either way nobody runs commands as a user whose password they do not know.
Credentials are kept in memory as long as they are in use, and never shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from sidecar.errors import NotIdentified, RedisRefused, ReplyableError, TooManyIdentities, Unavailable
from sidecar.memory.requests import Request
from sidecar.net.greeting import GREETING_TIMEOUT_S, is_passing
from sidecar.net.link import Connect, Link
from sidecar.net.multiplexer import Multiplexer
from sidecar.resp.watched import Credentials
from sidecar.store.pipe import Pipe

MAX_IDENTITIES = 1_024
"""Users with a connection of their own at a time: each takes a connection to Redis, which has 10,000 by default."""

IDLE_S = 60.0
"""How long the connection of a user outlives the last client: pools close and open connections all the time."""

DEFAULT_USER = b"default"


class Service(Protocol):
    """Executes requests on one pipe; `memory.service.MemoryService` is one."""

    def execute(self, request: Request, done: Callable[[object], None]) -> None: ...

    def stop(self, request: Request) -> None: ...

    async def close(self) -> None: ...


class Identity:
    """One user's connection, and what executes requests on it. Whoever gets one gives it back with `release`."""

    __slots__ = ("_released", "clients", "execute", "idle", "multiplexer", "running", "service", "stop")

    def __init__(self, multiplexer: Multiplexer, service: Service, released: Callable[[Identity], None]) -> None:
        self.multiplexer = multiplexer
        self.service = service
        self.execute = service.execute
        self.stop = service.stop
        self.running: asyncio.Task[None] = asyncio.get_running_loop().create_task(multiplexer.run(), name="multiplexer")
        self.clients = 0
        self.idle: asyncio.TimerHandle | None = None
        self._released = released

    def release(self) -> None:
        """Give it back; its last user's connection is closed after a while."""
        self.clients -= 1
        if not self.clients:
            self._released(self)


class Identities:
    """All identities of a process.

    Args:
        connect: opens a connection to Redis.
        multiplexer: makes the connection of a user; it is run here.
        service: makes what executes requests on it.
        idle_s: how long an unused connection is kept, in seconds.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        multiplexer: Callable[[Credentials | None], Multiplexer],
        service: Callable[[Pipe], Service],
        idle_s: float = IDLE_S,
    ) -> None:
        self._connect = connect
        self._multiplexer = multiplexer
        self._service = service
        self._idle_s = idle_s
        self._identities: dict[Credentials | None, Identity] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._identities)

    @property
    def connected(self) -> int:
        """How many of them have their connection now."""
        return sum(identity.multiplexer.connected for identity in self._identities.values())

    def acquire(self, credentials: Credentials | None) -> Identity:
        """Return the identity of credentials that are known to be good; None: a client that has not logged in.

        Raises:
            TooManyIdentities: no more users can be served now.
        """
        identity = self._identities.get(credentials)
        if identity is None:
            self._make_room()
            multiplexer = self._multiplexer(credentials)
            identity = Identity(multiplexer, self._service(multiplexer), partial(self._unused, credentials))
            self._identities[credentials] = identity
        identity.clients += 1
        if identity.idle is not None:
            identity.idle.cancel()
            identity.idle = None
        return identity

    def identify(
        self,
        candidates: Sequence[Credentials | None],
        user: bytes | None,
        done: Callable[[Identity | ReplyableError], None],
    ) -> None:
        """Find a client's identity.

        Args:
            candidates: what the client logged in with, newest first; None stands for no login.
            user: who Redis says it is, or None.
            done: is called once, with the identity, or with why there is none.
        """
        if tuple(candidates) == (None,) and user in (None, DEFAULT_USER):
            try:
                found: Identity | ReplyableError = self.acquire(None)
            except TooManyIdentities as problem:
                found = problem
            done(found)
            return
        task = asyncio.get_running_loop().create_task(self._answer(candidates, user, done), name="identify")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, limit_s: float) -> None:
        """End all connections once everything under way has been answered, at most after `limit_s`."""
        identities = list(self._identities.values())
        self._identities.clear()
        await asyncio.gather(*(identity.multiplexer.drained(limit_s) for identity in identities))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*map(self._end, identities))

    # ---- who is it ----

    async def _answer(
        self,
        candidates: Sequence[Credentials | None],
        user: bytes | None,
        done: Callable[[Identity | ReplyableError], None],
    ) -> None:
        try:
            outcome: Identity | ReplyableError = await self._find(candidates, user)
        except ReplyableError as problem:
            outcome = problem
        done(outcome)

    async def _find(self, candidates: Sequence[Credentials | None], user: bytes | None) -> Identity:
        for candidate in candidates:
            if user is not None and user != (DEFAULT_USER if candidate is None else candidate.user):
                continue
            if self._is_known(candidate, user):
                return self.acquire(candidate)
            if await self._is_good(candidate):
                identity = self.acquire(candidate)
                identity.multiplexer.welcome()
                return identity
        raise NotIdentified(user)

    def _is_known(self, candidate: Credentials | None, user: bytes | None) -> bool:
        """Whether nothing need be proven.

        That is so where Redis has named the user, which has a connection with this very password. Where Redis has not,
        an older connection proves nothing: the password may have been changed since, and the client's login refused.
        """
        if user is None:
            return False
        if candidate is None:
            return True  # what every new connection is
        identity = self._identities.get(candidate)
        return identity is not None and identity.multiplexer.connected

    async def _is_good(self, candidate: Credentials | None) -> bool:
        """Whether Redis accepts the candidate now; no login: whether the client may have what a new connection has.

        Raises:
            Unavailable: Redis did not say. To go on to the next candidate would make the client somebody else.
        """
        try:
            link = await self._connect(Link)
            try:
                async with asyncio.timeout(GREETING_TIMEOUT_S):
                    if candidate is None:
                        return await _is_nameless(link)
                    await link.log_in(candidate)
            finally:
                link.close()
        except RedisRefused as refusal:
            if is_passing(refusal):
                raise Unavailable(refusal.line, refusal.logged) from refusal
            return False
        except OSError as problem:
            raise Unavailable(str(problem) or type(problem).__name__) from problem
        return True

    # ---- ends ----

    def _make_room(self) -> None:
        """Give up an unused connection where the limit is reached.

        Raises:
            TooManyIdentities: all are in use.
        """
        if len(self._identities) < MAX_IDENTITIES:
            return
        for credentials, identity in self._identities.items():
            if not identity.clients:
                self._retire(credentials, identity)
                return
        raise TooManyIdentities(MAX_IDENTITIES)

    def _unused(self, credentials: Credentials | None, identity: Identity) -> None:
        loop = asyncio.get_running_loop()
        identity.idle = loop.call_later(self._idle_s, self._retire, credentials, identity)

    def _retire(self, credentials: Credentials | None, identity: Identity) -> None:
        if self._identities.get(credentials) is not identity:
            return  # the process is being stopped
        del self._identities[credentials]
        task = asyncio.get_running_loop().create_task(self._end(identity), name="retire")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, identity: Identity) -> None:
        if identity.idle is not None:
            identity.idle.cancel()
        await identity.service.close()
        identity.running.cancel()
        await asyncio.gather(identity.running, return_exceptions=True)


async def _is_nameless(link: Link) -> bool:
    """Whether a connection without a login is somebody who may not ask for his name, as the client is.

    Where it may ask, it is not the client's user; where it has to log in first, it is nobody.
    """
    answer = await link.ask("ACL", "WHOAMI")
    if isinstance(answer, RedisRefused) and is_passing(answer):
        raise answer
    return isinstance(answer, RedisRefused) and answer.line.startswith("NOPERM")
