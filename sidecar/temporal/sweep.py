"""The activity of a sweep: starts a flush for each mark that waits, and takes out the marks of what has expired.

It does what `sidecar.flush.sweeper` does in a sidecar with the local engine, but once for a whole deployment instead of
once in each of its sidecars, and with every run in Temporal's UI. The counterparts are `sweep_workflow`, which orders
it, `store.outbox`, and `starter`: the flushes are started by the very code of the sidecar.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator
from itertools import islice

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from sidecar.errors import EngineUnavailable
from sidecar.flush.bucket import Bucket
from sidecar.memory.keys import SHARDS, KeySpace
from sidecar.memory.ports import FlushOrder
from sidecar.store.outbox import Mark, Outbox
from sidecar.temporal.failures import translated
from sidecar.temporal.messages import SWEEP_OUTBOX, WRONG_PROJECT, SweepRequest, SweepResult
from sidecar.temporal.starter import TemporalEngine

MARKS_PER_SHARD = 16
"""Marks of one page of a shard; all pages together are 4,096, about a second of Redis's and Temporal's time."""

MOST_MARKS = 10_000
"""Marks of one sweep, old ones that stay included: a minute at the rate below. The next sweep takes those behind."""

AT_ONCE = 16
"""Starts under way at once, as in a sidecar's dispatcher."""

STARTS_PER_S = 200.0
BURST = 100
"""Starts per second, as in a sidecar's dispatcher: what a sweep finds is late already and comes in heaps."""

_log = structlog.get_logger(__name__)


class SweepActivity:
    """Sweeps of one project."""

    def __init__(self, *, outbox: Outbox, engine: TemporalEngine, space: KeySpace, definitions: Container[str]) -> None:
        """Bind it.

        Args:
            outbox: of the project.
            engine: starts the flushes.
            space: reads the memories' names.
            definitions: those that this worker serves, looked up at each sweep.
        """
        self._outbox = outbox
        self._engine = engine
        self._space = space
        self._definitions = definitions

    @activity.defn(name=SWEEP_OUTBOX)
    async def sweep(self, request: SweepRequest) -> SweepResult:
        """Look at all shards, page after page, and return what was found."""
        if request.project != self._space.project:
            text = f"this worker serves project '{self._space.project}', not '{request.project}'"
            raise ApplicationError(text, type=WRONG_PROJECT, non_retryable=True)
        with translated():
            try:
                return await _Look(self._outbox, self._engine, self._space, self._definitions).all(request.grace_ms)
            except EngineUnavailable as away:
                # Its text is Temporal's own; it names no content, and the rest of the marks waits for the next try.
                raise ApplicationError(str(away), type="EngineUnavailable") from None


class _Look:
    """One sweep under way: what it has seen and done so far."""

    def __init__(self, outbox: Outbox, engine: TemporalEngine, space: KeySpace, definitions: Container[str]) -> None:
        self._outbox = outbox
        self._engine = engine
        self._space = space
        self._definitions = definitions
        self._bucket = Bucket(per_s=STARTS_PER_S, burst=BURST)
        self._offsets = [0] * SHARDS
        self._seen = self._started = self._joined = self._gone = self._left = 0

    async def all(self, grace_ms: int) -> SweepResult:
        depth = None
        while self._seen < MOST_MARKS:
            view = await self._outbox.look(self._offsets, MARKS_PER_SHARD)
            if depth is None:
                depth = view.depth
                for key in view.spoilt:
                    _log.warning("outbox.spoilt", key=key)
            if not any(view.pages):
                break
            orders: list[FlushOrder] = []
            for shard, page in enumerate(view.pages):
                orders += await self._orders(shard, page, view.now_ms - grace_ms)
            await self._start(orders)
        return SweepResult(depth or 0, self._started, self._joined, self._gone, self._left)

    async def _orders(self, shard: int, page: list[Mark], oldest_ms: int) -> list[FlushOrder]:
        """Return what to start of a page, after taking out what has expired."""
        waiting: dict[str, tuple[str, str]] = {}
        for mark in page:
            if mark.since_ms > oldest_ms:
                continue  # whoever set it is starting the flush now
            try:
                waiting[mark.name] = self._space.parse(mark.name)
            except ValueError:
                self._left += 1
        gone = await self._outbox.purge(waiting)
        there = [where for name, where in waiting.items() if name not in gone]
        orders = [FlushOrder(*where) for where in there if where[0] in self._definitions]
        self._seen += len(page)
        self._gone += len(gone)
        self._left += len(there) - len(orders)
        self._offsets[shard] += len(page) - len(gone)
        return orders

    async def _start(self, orders: list[FlushOrder]) -> None:
        for some in _batches(orders):
            for _ in some:
                await self._bucket.wait()
            handles = await asyncio.gather(*(self._engine.start(order) for order in some))
            started = sum(handle.started for handle in handles)
            self._started += started
            self._joined += len(handles) - started
            activity.heartbeat(self._seen, self._started)
        activity.heartbeat(self._seen, self._started)


def _batches(orders: list[FlushOrder]) -> Iterator[list[FlushOrder]]:
    rest = iter(orders)
    while some := list(islice(rest, AT_ONCE)):
        yield some
