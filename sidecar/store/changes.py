"""The lines in which changes of memories leave this process: appends in batches, all others one at a time.

Appends to one memory that come while another change is under way wait and leave together (group commit), so that many
writers on one memory cost few scripts. At most one change per line is under way; that is what lets the scripts
recognise one that is sent again after the connection broke (see `lua/parts/repeats.lua`).

Who holds a memory's lease must not wait behind those whom it keeps out, so there are two lines for a memory: for
changes that come with a lease's token, and for those without. A line without one that meets a lease stands still, in
order, until the lease is released or a change has waited as long as its definition says.

The counterpart is `memory_store`, which says what is sent. Nothing here reads a memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic
from typing import Any, NamedTuple, Protocol

from sidecar.errors import Locked, RedisRefused, StaleLock, Unavailable
from sidecar.memory.addressing import Memory
from sidecar.memory.results import EncodingDiffers
from sidecar.store.batch import Append, Fixed, call, fixed, gather, results
from sidecar.store.pipe import Argument, Pipe, Reply
from sidecar.store.wakeups import Wakeups

LOOK_S = 1.0
"""Between two looks of a line that stands: whoever releases a lease may lack the right to tell of it."""

Done = Callable[[Any], None]
"""Takes the result, or the exception."""


class Single(NamedTuple):
    """A change that goes alone.

    Args:
        memory: which one.
        token: of the lease that the caller holds, "" for none.
        script, keys: what is run.
        arguments: after the op field and the number, where it is `numbered`.
        numbered: whether the script recognises a repetition; otherwise it is never sent twice.
        done: is told the number that the script returns, or the exception.
    """

    memory: Memory
    token: str
    script: str
    keys: tuple[str, ...]
    arguments: Sequence[Argument]
    numbered: bool
    done: Done


Change = Append | Single


class LeaseTally(Protocol):
    """Where waits for somebody else's lease are counted; `sidecar.metrics.Metrics` is one."""

    def lock_waited(self, seconds: float) -> None: ...

    def lock_refused(self) -> None: ...

    def lock_lost(self) -> None: ...


class Standing:
    """How many changes wait for somebody else's lease now, of all `Changes` that share it."""

    def __init__(self) -> None:
        self.count = 0


class _Line:
    """The changes of one memory, in order; `flying` are those under way."""

    __slots__ = ("alone", "attempt", "flying", "key", "memory", "since", "waiting", "watcher")

    def __init__(self, key: tuple[str, bool], memory: Memory) -> None:
        self.key = key
        self.memory = memory
        self.waiting: deque[Change] = deque()
        self.flying: list[Any] = []
        self.alone = False  # one at a time, after a refusal of several of which one may have been stored before
        self.watcher: asyncio.Task[None] | None = None  # waits for somebody's lease to end
        self.attempt: asyncio.Future[int | None] | None = None  # of the watcher: ms that the lease lasts, None if over
        self.since: dict[int, float] = {}  # by id of a change: since when it waits for the lease


class Changes:
    """All lines of one user's connection.

    Args:
        pipe: where scripts go.
        sidecar_id: names this process; a new one at each start, because its numbers begin anew.
        on_due: is told a memory whose mark in the outbox this process has just set, and of which trace that was.
        wakeups: tells when a lease is released.
        tally: counts waits for leases.
        standing: knows how many changes wait for a lease.
    """

    def __init__(
        self,
        *,
        pipe: Pipe,
        sidecar_id: str,
        on_due: Callable[[Memory, str], None],
        wakeups: Wakeups,
        tally: LeaseTally,
        standing: Standing | None = None,
    ) -> None:
        self._pipe = pipe
        self._ops = {False: f"op:{sidecar_id}", True: f"op:{sidecar_id}:lease"}
        self._numbers = count(1)
        self._on_due = on_due
        self._wakeups = wakeups
        self._tally = tally
        self._standing = standing or Standing()
        self._lines: dict[tuple[str, bool], _Line] = {}
        self._fixed: dict[str, tuple[Any, Fixed]] = {}

    def put(self, change: Change) -> None:
        """Add a change to its line; it leaves at once if nothing is under way there."""
        key = (change.memory.keys.name, change.token != "")
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, change.memory)
            line.waiting.append(change)
            self._launch(line)
            return
        line.waiting.append(change)
        if line.watcher is not None:
            self._stands_since(line, change, monotonic())

    @property
    def standing(self) -> int:
        """Changes that wait for somebody else's lease now, of all that share the count."""
        return self._standing.count

    async def close(self) -> None:
        """Give up the lines that stand still."""
        standing = [line for line in self._lines.values() if line.watcher is not None]
        for line in standing:
            if line.watcher is not None:
                line.watcher.cancel()
        await asyncio.gather(*(line.watcher for line in standing if line.watcher), return_exceptions=True)

    # ---- one change under way ----

    def _launch(self, line: _Line) -> None:
        """Send what is next."""
        if isinstance(line.waiting[0], Single):
            self._launch_single(line, line.waiting[0])
            return
        batch = gather(line.waiting, alone=line.alone)
        line.flying = batch
        names, arguments = call(batch, self._fixed_of(batch[0]), self._ops[line.key[1]], next(self._numbers))
        self._pipe.call_script("append", names, arguments, lambda reply: self._landed(line, reply), resend=True)

    def _launch_single(self, line: _Line, change: Single) -> None:
        line.flying = [line.waiting.popleft()]
        arguments = change.arguments
        if change.numbered:
            arguments = [self._ops[line.key[1]], next(self._numbers), *arguments]
        self._pipe.call_script(
            change.script, change.keys, arguments, lambda reply: self._landed(line, reply), resend=change.numbered
        )

    def _fixed_of(self, append: Append) -> Fixed:
        definition = append.memory.definition
        known = self._fixed.get(definition.id)
        if known is None or known[0] is not definition:
            known = self._fixed[definition.id] = (definition, fixed(definition))
        return known[1]

    def _landed(self, line: _Line, reply: Reply) -> None:
        """Answer what is back, after the next one has left."""
        flown, line.flying = line.flying, []
        words = reply.decode().split(" ") if isinstance(reply, bytes) else []
        if words and words[0] == "locked":
            self._stand(line, flown, int(words[1]))
            return
        if words and words[0] == "stale-lock" and len(flown) > 1 and any(one.idempotent for one in flown):
            line.alone = True  # one of them may be the repetition of an append that was stored under the lease
            line.waiting.extendleft(reversed(flown))
            self._launch(line)
            return
        if line.attempt is not None and not line.attempt.done():
            line.attempt.set_result(None)
        if line.waiting:
            self._launch(line)
        else:
            del self._lines[line.key]
        self._answer(flown, reply, words)

    def _answer(self, flown: list[Any], reply: Reply, words: list[str]) -> None:
        first: Change = flown[0]
        if not words or words[0] in ("encoding", "stale-lock"):
            outcome = _refusal(reply, words)
            for change in flown:
                if isinstance(outcome, StaleLock):
                    self._tally.lock_lost()
                change.done(outcome)
        elif isinstance(first, Single):
            first.done(int(words[0]))
        else:
            if words[1] == "1":
                # Any of the batch has brought it about; the first one that is traced tells.
                self._on_due(first.memory, next((change.trace for change in flown if change.trace), ""))
            for at, result in enumerate(results(flown, words)):
                flown[at].done(result)

    # ---- somebody else's lease ----

    def _stand(self, line: _Line, flown: list[Any], left_ms: int) -> None:
        """Put back what a lease kept out, in the old order, and wait for its end."""
        line.waiting.extendleft(reversed(flown))
        line.alone = line.alone or any(isinstance(change, Append) and change.idempotent for change in flown)
        now = monotonic()
        for change in line.waiting:
            self._stands_since(line, change, now)
        if line.attempt is not None and not line.attempt.done():
            line.attempt.set_result(left_ms)
        else:
            line.watcher = asyncio.get_running_loop().create_task(self._outlast(line, left_ms), name="lease-wait")

    def _stands_since(self, line: _Line, change: Change, now: float) -> None:
        if id(change) not in line.since:
            line.since[id(change)] = now
            self._standing.count += 1

    async def _outlast(self, line: _Line, left_ms: int | None) -> None:
        begun = monotonic()
        self._refuse_late(line, left_ms or 0, begun)  # a definition may say that nobody waits
        try:
            async with self._wakeups.watch(line.memory.keys.wake) as watch:
                await watch.ready()
                while line.waiting:
                    # Once more at first: the lease may have ended before anybody could tell us.
                    line.attempt = asyncio.get_running_loop().create_future()
                    self._launch(line)
                    left_ms = await line.attempt
                    if left_ms is None:
                        self._tally.lock_waited(monotonic() - begun)
                        return
                    pause = self._refuse_late(line, left_ms, monotonic())
                    if line.waiting:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(min(pause, LOOK_S)):
                                await watch.woken()
        finally:
            line.attempt = line.watcher = None
            self._standing.count -= len(line.since)
            line.since.clear()
            line.alone = False
            if not line.flying:
                self._give_up(line)

    def _refuse_late(self, line: _Line, left_ms: int, now: float) -> float:
        """Refuse what has waited long enough; return the seconds until the next look."""
        pause, waiting, late = left_ms / 1000, list(line.waiting), []
        line.waiting.clear()
        for change in waiting:
            left_s = line.since[id(change)] + change.memory.definition.locking.wait_ms / 1000 - now
            if left_s > 0:
                line.waiting.append(change)
                pause = min(pause, left_s)
            else:
                del line.since[id(change)]
                self._standing.count -= 1
                late.append(change)
        for change in late:
            self._tally.lock_refused()
            change.done(Locked(left_ms, change.memory.definition.locking.wait_ms))
        return max(pause, 0.001)

    def _give_up(self, line: _Line) -> None:
        """The process is being stopped, or nobody waits any more."""
        if self._lines.get(line.key) is line:
            del self._lines[line.key]
        while line.waiting:
            line.waiting.popleft().done(Unavailable("memsidecar is being stopped"))


def _refusal(reply: Reply, words: list[str]) -> EncodingDiffers | BaseException:
    if words:
        return StaleLock() if words[0] == "stale-lock" else EncodingDiffers(words[1])
    return as_error(reply)


def as_error(reply: Reply) -> BaseException:
    """Return the exception in a reply that is not what the script returns."""
    if isinstance(reply, BaseException):
        return reply
    return RedisRefused(f"ERR a script of memsidecar returned {type(reply).__name__}; do its versions differ?")
