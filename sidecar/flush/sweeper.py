"""Finds memories that are due and that nobody serves: the durable half of "a flush is due".

An append notifies its own sidecar's dispatcher. That is lost when the process dies, when the engine is away
or when the dispatcher is full; the mark in the outbox is not. The sweeper looks at all outboxes regularly and
notifies the dispatcher of what it finds. Where Temporal runs the flushes, its schedule does this once for all sidecars
(`sidecar.temporal.sweep`); then the sweeper is for the metrics, and for marks that are too old for the schedule to be
at work. The counterpart is `store.outbox`. It leaves the marks to the flush
scripts, except those of memories that have expired and whose definition is not one of ours: nobody here would ever
flush them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Container

import structlog

from sidecar.errors import UpstreamError
from sidecar.memory.keys import SHARDS, KeySpace
from sidecar.metrics import Metrics
from sidecar.store.outbox import Mark, Outbox

INTERVAL_S = 10.0
"""Between two sweeps: how late a flush may be that nobody was told of."""

JITTER = 0.2
"""Share of the interval by which it varies, so that many sidecars do not sweep together."""

GRACE_MS = 1_000
"""Younger marks are being served by whoever set them."""

MARKS_PER_SHARD = 16
"""Marks read from one shard in one sweep, 4,096 in all: four times what the dispatcher can hold. Marks that
stay (their flush runs or fails, their definition is unknown) are passed over by the next sweep, so the ones
behind them get their turn."""

MOST_COMPLAINTS = 1_000
"""Unservable definitions and names that are remembered, so that each is logged once."""

_log = structlog.get_logger(__name__)


class Sweeper:
    """Looks at the outboxes of one project.

    Args:
        outbox: reads the marks.
        notify: is called with definition and instance of each memory found; `Dispatcher.remind`.
        space: reads the memories' names.
        definitions: the definitions that are served here, looked up at each sweep.
        metrics: told the depth of the outbox and the age of its oldest mark.
        interval_s: seconds between two sweeps, more or less.
        grace_ms: age from which on a mark counts as unserved.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        notify: Callable[[str, str], None],
        space: KeySpace,
        definitions: Container[str],
        metrics: Metrics,
        interval_s: float = INTERVAL_S,
        grace_ms: int = GRACE_MS,
    ) -> None:
        self._outbox = outbox
        self._notify = notify
        self._space = space
        self._definitions = definitions
        self._metrics = metrics
        self._interval_s = interval_s
        self._grace_ms = grace_ms
        self._offsets = [0] * SHARDS
        self._away = False
        self._complained: set[str] = set()

    async def run(self) -> None:
        """Sweep at once, for what an earlier process left over, and then regularly until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval_s * random.uniform(1 - JITTER, 1 + JITTER))

    async def sweep(self) -> None:
        """Look once. Does nothing while Redis is away; the marks are there when it is back."""
        try:
            view = await self._outbox.look(self._offsets, MARKS_PER_SHARD)
        except UpstreamError as away:
            if not self._away:
                _log.warning("outbox.unreadable", error=away.logged)
            self._away = True
            return
        self._away = False
        age_ms = 0.0 if view.oldest_ms is None else max(0.0, view.now_ms - view.oldest_ms)
        self._metrics.outbox(view.depth, age_ms / 1000)
        for key in view.spoilt:
            self._complain(key, "outbox.spoilt", key=key)
        for shard, page in enumerate(view.pages):
            strangers: dict[str, str] = {}  # by name of the memory: its definition
            for mark in page:
                if mark.since_ms <= view.now_ms - self._grace_ms and not self._hand_over(shard, mark):
                    strangers[mark.name] = self._space.parse(mark.name)[0]
            gone = await self._purge(strangers)
            for definition in (strangers[name] for name in strangers.keys() - gone):
                self._complain(definition, "flush.unknown_definition", definition=definition)
            # What was taken out does not count among those to pass over.
            passed = self._offsets[shard] + len(page) - len(gone)
            self._offsets[shard] = passed if len(page) == MARKS_PER_SHARD else 0
            if page:
                await asyncio.sleep(0)  # let clients in between

    def _hand_over(self, shard: int, mark: Mark) -> bool:
        """Notify of a mark. False if its definition is not one of ours."""
        try:
            definition, instance = self._space.parse(mark.name)
        except ValueError:
            self._complain(mark.name, "outbox.odd_name", shard=shard)
            return True
        if definition not in self._definitions:
            return False
        self._notify(definition, instance)
        return True

    async def _purge(self, names: Collection[str]) -> frozenset[str]:
        """Take out the marks of memories that are gone, and return their names. While Redis refuses, none."""
        if not names:
            return frozenset()
        try:
            return await self._outbox.purge(names)
        except UpstreamError as trouble:
            self._complain("", "outbox.not_purged", error=trouble.logged)
            return frozenset()

    def _complain(self, subject: str, event: str, **facts: object) -> None:
        self._metrics.trigger("failed")
        if subject not in self._complained and len(self._complained) < MOST_COMPLAINTS:
            self._complained.add(subject)
            _log.warning(event, **facts)
