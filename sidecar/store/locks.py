"""The turn lock: an exclusive lease on a memory that spans several commands.

A lease is a key on Redis with the holder's token and a life time; each has a *fence*, a number that grows with every
lease of a memory. The scripts that change a memory look at the lease themselves (`lua/parts/lease.lua`), so a holder
that believes too long that it holds can do no harm. Who waits is woken when the lease is released, looks again when it
must have run out, and otherwise keeps still; of those who wait in this process only the first one asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

from sidecar.errors import Locked, StaleLock, Uncertain, UpstreamError
from sidecar.memory.addressing import Memory
from sidecar.memory.results import LockGranted
from sidecar.store.changes import as_error
from sidecar.store.pipe import Argument, Pipe, Reply
from sidecar.store.wakeups import Wakeups

LOOK_S = 1.0
"""Between two looks of the first in line: whoever releases a lease may lack the right to tell of it."""

RENEWALS_PER_LEASE = 3
"""A lease is renewed at a third of its time: two renewals may fail before it is lost."""


class LockTally(Protocol):
    """Where locks are counted; `sidecar.metrics.Metrics` is one."""

    def lock_acquired(self) -> None: ...

    def lock_waited(self, seconds: float) -> None: ...

    def lock_refused(self) -> None: ...

    def lock_lost(self) -> None: ...


class Lease:
    """A lease that is being renewed. `lost` is set once it is not held any more."""

    def __init__(self, granted: LockGranted) -> None:
        self.token = granted.token
        self.fence = granted.fence
        self.lost = asyncio.Event()


class LockManager:
    """Leases with the rights of one user.

    Args:
        pipe: where scripts go.
        wakeups: tells when a lease is released.
        tally: counts.
    """

    def __init__(self, pipe: Pipe, wakeups: Wakeups, tally: LockTally) -> None:
        self._pipe = pipe
        self._wakeups = wakeups
        self._tally = tally
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiters(self) -> int:
        """Those who wait for a lease now, here."""
        return sum(map(len, self._queues.values()))

    async def acquire(self, memory: Memory, *, lease_ms: int, wait_ms: int = 0) -> LockGranted:
        """Take the lease.

        Args:
            memory: on which.
            lease_ms: how long it lasts without renewal.
            wait_ms: how long to wait while somebody else holds it.

        Raises:
            Locked: it did not come free within the wait.
            UpstreamError: Redis refused, or cannot be reached.
        """
        token, begun = secrets.token_hex(16), monotonic()
        try:
            async with self._first_in_line(memory, wait_ms):
                granted, left_ms = await self._acquire(memory, token, lease_ms, begun + wait_ms / 1000)
        except TimeoutError:  # others were first all the time
            granted, left_ms = None, await self.held(memory) or 0
        if granted is None:
            self._tally.lock_refused()
            raise Locked(left_ms, wait_ms)
        waited_s = monotonic() - begun
        self._tally.lock_acquired()
        if wait_ms and waited_s * 1000 >= 1:
            self._tally.lock_waited(waited_s)
        return granted._replace(waited_ms=int(waited_s * 1000) if wait_ms else 0)

    async def extend(self, memory: Memory, token: str, *, lease_ms: int) -> LockGranted:
        """Let a lease last `lease_ms` from now.

        Raises:
            StaleLock: the token does not hold it any more.
            UpstreamError: Redis refused, or cannot be reached.
        """
        code, fence = await self._lock(memory, token, lease_ms, "renew")
        if code != 1:
            self._tally.lock_lost()
            raise StaleLock
        return LockGranted(token, fence, lease_ms)

    async def release(self, memory: Memory, token: str) -> bool:
        """Release a lease. False if the token did not hold it any more."""
        keys = memory.keys
        return await self._run("unlock", memory, (token, keys.wake)) == 1

    async def held(self, memory: Memory) -> int | None:
        """Return for how many ms somebody holds the lease, None if nobody does."""
        left = await _replied(lambda done: self._pipe.call(("PTTL", memory.keys.lock), done, resend=True))
        if not isinstance(left, int):
            raise as_error(left)
        return left if left > 0 else None

    @asynccontextmanager
    async def hold(self, memory: Memory, *, lease_ms: int, wait_ms: int = 0) -> AsyncIterator[Lease]:
        """Hold the lease as long as the block runs, and renew it meanwhile.

        The block looks at `Lease.lost`, and gives the token to what it changes: that is refused once the lease is lost.

        Raises:
            Locked, UpstreamError: as `acquire`.
        """
        lease = Lease(await self.acquire(memory, lease_ms=lease_ms, wait_ms=wait_ms))
        renewing = asyncio.create_task(self._renew(memory, lease, lease_ms), name="lease-renewal")
        try:
            yield lease
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with contextlib.suppress(UpstreamError):  # then it runs out by itself
                await asyncio.shield(self.release(memory, lease.token))

    # ---- waiting ----

    @asynccontextmanager
    async def _first_in_line(self, memory: Memory, wait_ms: int) -> AsyncIterator[None]:
        """Wait until nobody of this process was there before us.

        Raises:
            TimeoutError: that took longer than the wait.
        """
        name = memory.keys.name
        queue = self._queues.setdefault(name, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            if queue[0] is turn:
                turn.set_result(None)
            async with asyncio.timeout(wait_ms / 1000):
                await turn
            yield
        finally:
            queue.remove(turn)
            if queue and not queue[0].done():
                queue[0].set_result(None)
            if not queue and self._queues.get(name) is queue:
                del self._queues[name]

    async def _acquire(
        self, memory: Memory, token: str, lease_ms: int, deadline: float
    ) -> tuple[LockGranted | None, int]:
        """Take the lease, or None at the deadline, and for how many ms somebody else has it then."""
        granted, left_ms = await self._try(memory, token, lease_ms)
        if granted is not None or monotonic() >= deadline:
            return granted, left_ms
        async with self._wakeups.watch(memory.keys.wake) as watch:
            await _at_most(min(left_ms / 1000, deadline - monotonic()), watch.ready())
            while True:
                granted, left_ms = await self._try(memory, token, lease_ms)
                left_s = deadline - monotonic()
                if granted is not None or left_s <= 0:
                    return granted, left_ms
                await _at_most(min(left_ms / 1000, left_s, LOOK_S), watch.woken())

    async def _try(self, memory: Memory, token: str, lease_ms: int) -> tuple[LockGranted | None, int]:
        asking = asyncio.ensure_future(self._lock(memory, token, lease_ms, "acquire"))
        try:
            code, number = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # Whoever waited has gone; what is granted to him afterwards would keep everybody out.
            asking.add_done_callback(lambda _: self._give_back(memory, token))
            raise
        except Uncertain:
            self._give_back(memory, token)  # perhaps it was granted, and nobody knows the token
            raise
        return (LockGranted(token, number, lease_ms), 0) if code == 1 else (None, number)

    def _give_back(self, memory: Memory, token: str) -> None:
        self._pipe.call_script("unlock", _names(memory), (token, memory.keys.wake), lambda _: None, resend=True)

    async def _renew(self, memory: Memory, lease: Lease, lease_ms: int) -> None:
        lease_s = lease_ms / 1000
        asked = monotonic()
        held_until = asked + lease_s
        while asked < held_until:
            await asyncio.sleep(min(lease_s / RENEWALS_PER_LEASE, held_until - asked))
            asked = monotonic()
            try:
                # An answer may take longer than the lease lasts, and its holder must know in time.
                async with asyncio.timeout(held_until - asked):
                    await self.extend(memory, lease.token, lease_ms=lease_ms)
                held_until = asked + lease_s
            except StaleLock:
                lease.lost.set()
                return
            except (UpstreamError, TimeoutError):
                asked = monotonic()
        lease.lost.set()
        self._tally.lock_lost()

    # ---- scripts ----

    async def _lock(self, memory: Memory, token: str, lease_ms: int, mode: str) -> tuple[int, int]:
        reply = await self._run("lock", memory, (token, lease_ms, mode))
        if not isinstance(reply, list):
            raise as_error(reply)
        code, *number = (int(str(value)) for value in reply)
        return code, number[0] if number else 0

    async def _run(self, script: str, memory: Memory, arguments: tuple[Argument, ...]) -> Reply:
        """Run a script. Each is harmless when it is sent twice: the token says whose it is."""
        reply = await _replied(
            lambda done: self._pipe.call_script(script, _names(memory), arguments, done, resend=True)
        )
        if isinstance(reply, BaseException):
            raise reply
        return reply


def _names(memory: Memory) -> tuple[str, str]:
    return memory.keys.meta, memory.keys.lock


async def _replied(call: Callable[[Callable[[Reply], None]], None]) -> Reply:
    """Await the reply to a command; errors are returned."""
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    call(lambda reply: None if answer.done() else answer.set_result(reply))
    return await answer


async def _at_most(limit_s: float, waiting: Awaitable[object]) -> None:
    """Wait for something, and no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await waiting
