"""Hands memories that are due to the flush engine: each once, few at a time, and never in a client's way.

The counterparts are the append path and the `sweeper`, which notify it, and a `FlushEngine`, which it starts
flushes on. It keeps nothing that matters: the mark in the outbox is the order, a notification only says
"soon". So whatever it drops, when it is full or when the process ends, the sweeper brings again. While the engine is
away it holds what it has, and tries: a sweep may be a minute off when the engine is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from sidecar.errors import EngineUnavailable, MemsidecarError, UnknownMemory, UpstreamError
from sidecar.flush.breaker import Breaker
from sidecar.flush.bucket import Bucket
from sidecar.flush.rests import Rests
from sidecar.memory.label import label
from sidecar.memory.ports import FlushEngine, FlushHandle, FlushOrder
from sidecar.metrics import Metrics

CONCURRENCY = 16
"""Starts under way at once. One takes about 10 ms on Temporal, so these are over 1,000 a second."""

BACKLOG = 1_024
"""Memories that wait for their start, about 300 bytes each and a second of work."""

STARTS_PER_S = 200.0
BURST = 400
"""Starts per second in the long run, and at once after a quiet time. Each is a run of four steps for Temporal and its
workers: after an outage, when the marks of hours are found together, all sidecars at once would drown both. 200 are
more memories than one sidecar's appends fill in a second, and what waits here is in the outbox."""

REST_S = 5.0
"""Least time between two starts for one memory. Its mark stays while its flush runs, and would start it
again."""

LONGEST_REST_S = 160.0
"""The rest doubles up to this while starts only join: 2,000 flushes that wait for their workers were started 22 times
each with a rest of 5 s, which cost Temporal more than the flushes. A run that was lost is found this late at most."""

MOST_RESTING = 8_192
"""Memories remembered as started lately, some hundred bytes each. Beyond it the next to be ready are forgotten."""

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
"""Between two tries while the engine is away: a restart is over in seconds, an outage needs no hammering."""

MOST_COMPLAINTS = 1_000
"""Unknown definitions that are remembered, so that each is logged once."""

Memory = tuple[str, str]
"""Definition and instance."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _State:
    """Whether a memory waits for its start; once it was started, whether it was notified `again`; how many starts
    in a row only joined; the trace of what the next start is for, or ""."""

    waiting: bool = True
    again: bool = False
    joins: int = 0
    trace: str = ""


class Dispatcher:
    """Starts flushes.

    Args:
        engine: what runs them.
        is_due: asks the outbox whether a memory still has its mark.
        metrics: counts the triggers, and tells whether the engine answers.
        concurrency: starts at once.
        backlog: most memories that wait for their start.
        starts_per_s, burst: starts per second in the long run, and at once after a quiet time.
        rest_s, longest_rest_s: least seconds between two starts for one memory, and where starts only join.
        first_pause_s, longest_pause_s: between two tries while the engine is away.
    """

    def __init__(
        self,
        *,
        engine: FlushEngine,
        is_due: Callable[[str, str], Awaitable[bool]],
        metrics: Metrics,
        concurrency: int = CONCURRENCY,
        backlog: int = BACKLOG,
        starts_per_s: float = STARTS_PER_S,
        burst: int = BURST,
        rest_s: float = REST_S,
        longest_rest_s: float = LONGEST_REST_S,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._engine = engine
        self._is_due = is_due
        self._metrics = metrics
        self._concurrency = concurrency
        self._bucket = Bucket(per_s=starts_per_s, burst=burst)
        self._breaker = Breaker(first_pause_s=first_pause_s, longest_pause_s=longest_pause_s)
        self._states: dict[Memory, _State] = {}
        self._queue: asyncio.Queue[Memory] = asyncio.Queue(backlog)
        self._rests = Rests[Memory](rest_s=rest_s, longest_rest_s=longest_rest_s, most=MOST_RESTING)
        self._rests_changed = asyncio.Event()
        self._complained: set[str] = set()
        self._away = False  # as the last start found it; the gauge is written by the look at the engine's health, too

    def notify(self, definition: str, instance: str, trace: str = "") -> None:
        """Say that a memory has become due. Never waits and never raises; its mark was just put into the outbox.

        Args:
            definition, instance: which memory.
            trace: `traceparent` of what has made it due, or "".
        """
        memory = definition, instance
        self.remind(definition, instance)
        if trace and (state := self._states.get(memory)) is not None:
            state.trace = trace
        # A new mark: the flush that earlier starts joined is over.
        self._rests.cut(memory)
        self._rests_changed.set()

    def remind(self, definition: str, instance: str) -> None:
        """Say that a memory is still due: its mark was found in the outbox. Never waits and never raises."""
        memory = definition, instance
        state = self._states.get(memory)
        if state is None:
            self._enqueue(memory)
            return
        # What is waiting will see this append. What was started may be over: look again after the rest.
        state.again = not state.waiting
        self._metrics.trigger("coalesced")

    @property
    def remembered(self) -> int:
        """Memories that wait for their start, or were started lately."""
        return len(self._states)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_rests(), name="dispatcher rests")
            for number in range(self._concurrency):
                group.create_task(self._serve(), name=f"dispatcher {number}")

    def _enqueue(self, memory: Memory, joins: int = 0, trace: str = "") -> None:
        try:
            self._queue.put_nowait(memory)
        except asyncio.QueueFull:
            self._states.pop(memory, None)
            self._metrics.trigger("dropped")
        else:
            self._states[memory] = _State(joins=joins, trace=trace)

    async def _serve(self) -> None:
        while True:
            memory = await self._queue.get()
            await self._bucket.wait()
            if await self._start(memory):
                self._rest(memory)

    async def _start(self, memory: Memory) -> bool:
        """Start a flush. False if the engine is away: then the memory waits again, behind all others."""
        definition, instance = memory
        trace = ""

        def start() -> Awaitable[FlushHandle]:
            nonlocal trace
            # From here on a notification may be about something that this flush does not see.
            state = self._states[memory]
            state.waiting = False
            trace, state.trace = state.trace, ""
            return self._engine.start(FlushOrder(definition, instance, trace=trace))

        try:
            handle = await self._breaker.call(start)
        except EngineUnavailable as away:
            if not self._away:
                _log.warning("flush.engine_away", error=away.logged)
            self._away, self._metrics.engine_up = True, False
            self._metrics.trigger("failed")
            self._enqueue(memory, trace=self._states[memory].trace or trace)
            return False
        except UnknownMemory:
            self._complain_once(definition)
        except MemsidecarError as refused:
            _log.warning("flush.not_started", memory=label(definition, instance), error=refused.logged)
        except Exception:
            _log.exception("flush.not_started", memory=label(definition, instance))
        else:
            self._away, self._metrics.engine_up = False, True
            self._metrics.trigger("started" if handle.started else "coalesced")
            state = self._states[memory]
            state.joins = 0 if handle.started else state.joins + 1
            return True
        self._metrics.trigger("failed")
        return True

    def _rest(self, memory: Memory) -> None:
        now = asyncio.get_running_loop().time()
        forgotten = self._rests.begin(memory, now, self._states[memory].joins)
        if forgotten is not None:
            del self._states[forgotten]
        self._rests_changed.set()

    async def _end_rests(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._rests_changed.clear()
            memory = self._rests.pop(clock())
            if memory is None:
                await self._wait_for_rests(self._rests.next_end())
                continue
            state = self._states.pop(memory)
            if state.again and await self._still_due(memory) and memory not in self._states:
                self._enqueue(memory, state.joins, state.trace)

    async def _wait_for_rests(self, until: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._rests_changed.wait()

    async def _still_due(self, memory: Memory) -> bool:
        try:
            return await self._is_due(*memory)
        except UpstreamError:
            return False  # Redis is away; the sweeper finds the mark when it is back

    def _complain_once(self, definition: str) -> None:
        if definition not in self._complained and len(self._complained) < MOST_COMPLAINTS:
            self._complained.add(definition)
            _log.warning("flush.unknown_definition", definition=definition)
