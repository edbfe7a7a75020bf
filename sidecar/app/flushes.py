"""What flushes memories in a sidecar's process: the engine, who starts its runs, and who finds what nobody served."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from sidecar.app.building import make_deputy, make_flush_steps
from sidecar.config.settings import Settings
from sidecar.flush.dispatcher import Dispatcher
from sidecar.flush.local import LocalEngine
from sidecar.flush.sweeper import GRACE_MS, Sweeper
from sidecar.memory.addressing import Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.keys import KeySpace
from sidecar.memory.tracing import Tracer
from sidecar.metrics.counters import Metrics
from sidecar.store.outbox import Outbox

if TYPE_CHECKING:
    from sidecar.temporal.starter import TemporalEngine

SCHEDULES_MISSED = 3
"""Sweeps of Temporal's schedule that a mark has outlived when sidecars take it to be unserved: one may be under way,
and one may have met trouble."""


class Flushes:
    """Builds it all, starts and stops it.

    Args:
        settings: of the sidecar.
        catalogue: the definitions in force.
        space: where the memories are.
        client: as the sidecar's own user of Redis.
        metrics: where flushes are counted.
        tracer: records their steps.

    Attributes:
        engine: runs flushes.
        steps: what they are made of, for previews too.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        space: KeySpace,
        *,
        client: Redis,
        metrics: Metrics,
        tracer: Tracer,
    ) -> None:
        self._settings = settings
        self._deputy = make_deputy(settings)
        self.steps = make_flush_steps(settings, catalogue, client, metrics, tracer, self._deputy)
        self.engine = self._make_engine(space)
        outbox = Outbox(client, space)
        self._dispatcher = Dispatcher(
            engine=self.engine,
            is_due=outbox.is_marked,
            metrics=metrics,
            starts_per_s=settings.flush_starts_per_s,
            burst=settings.flush_start_burst,
        )
        self._sweeper = Sweeper(
            outbox=outbox,
            notify=self._dispatcher.remind,
            space=space,
            definitions=catalogue,
            metrics=metrics,
            interval_s=settings.sweep_interval_s,
            grace_ms=self._grace_ms(),
        )

    def start(self, background: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start what runs all the time; whoever stops it cancels these tasks after `close`."""
        return [
            background.create_task(self._dispatcher.run(), name="dispatcher"),
            background.create_task(self._sweeper.run(), name="sweeper"),
        ]

    def due(self, memory: Memory, trace: str) -> None:
        """Take note that an append has marked a memory; `trace` is the append's, or ""."""
        self._dispatcher.notify(memory.definition.id, memory.instance, trace)

    def renew(self) -> None:
        """Do the next large flush in a new process, which reads what this one was started with anew."""
        self._deputy.retire()

    async def close(self) -> None:
        """End the flushes that run here, whose marks stay, and then their process."""
        await self.engine.close()
        await self._deputy.close()

    def _make_engine(self, space: KeySpace) -> LocalEngine | TemporalEngine:
        settings = self._settings
        if settings.engine == "local":
            return LocalEngine(steps=self.steps, space=space)
        # Only here, because loading the SDK takes half a second and 50 MB.
        from sidecar.app.temporal import make_temporal_engine, temporal_place

        return make_temporal_engine(settings, temporal_place(settings))

    def _grace_ms(self) -> int:
        """Return how old a mark is that nobody serves."""
        if self._settings.engine == "local":
            return GRACE_MS
        # Temporal's schedule sees to it, once for all sidecars. They look as often, for the metrics, and step in where
        # it does not: it may be paused, and workers may be of a version that has none.
        return int(SCHEDULES_MISSED * self._settings.temporal_sweep_interval_s * 1_000)
