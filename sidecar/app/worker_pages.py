"""What the Temporal worker's process shows of itself by HTTP: the pages of a sidecar, from its point of view."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sidecar.app.building import bind
from sidecar.app.loop_lag import watch_loop_lag
from sidecar.app.process import end
from sidecar.commands.health import render
from sidecar.config.settings import Settings
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.health import Health
from sidecar.memory.keys import KeySpace
from sidecar.memory.ports import FlushEngine, TextCounter
from sidecar.metrics import Metrics
from sidecar.net.http import HttpServer, figures_of
from sidecar.store.probe import SlowProbe
from sidecar.store.script_client import ScriptClient


class WorkerPages:
    """Watches the worker, and serves the pages where the settings want them.

    Args:
        settings: say where.
        metrics: what `/metrics` shows; is told what is up.
        scripts: the worker's way to Redis.
        engine: asks Temporal whether it is there.
        counter: returns the counter of an encoding.
        catalogue: the definitions in force.
        space: where the memories are.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        metrics: Metrics,
        scripts: ScriptClient,
        engine: FlushEngine,
        counter: Callable[[str], TextCounter],
        catalogue: Catalogue,
        space: KeySpace,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        metrics.engine = engine.name
        metrics.worker_polling = False
        metrics.watch("definitions", lambda: len(catalogue))
        self._probe = SlowProbe(scripts, space)
        self._health = Health(
            ping=self._probe,
            engine=engine,
            gauge=metrics,
            counter=counter,
            catalogue=catalogue,
            lock_waiters=lambda: 0,
        )
        self._http = HttpServer(figures=figures_of(metrics), ready=self._ready, health=self._tell_health)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to watch, and to serve.

        Raises:
            ConfigurationError: the address cannot be had.
        """
        if self._settings.worker_http_listen is None:
            return
        await bind("worker_http_listen", self._settings.worker_http_listen, self._http.listen)
        self._tasks += [
            asyncio.create_task(self._health.run(), name="health"),
            asyncio.create_task(watch_loop_lag(self._metrics.tick), name="loop-lag"),
        ]

    def polling(self, polls: bool) -> None:
        """Note whether the worker polls Temporal now."""
        self._metrics.worker_polling = polls

    async def close(self) -> None:
        """End both."""
        if self._tasks:
            await end(self._tasks)
        await self._http.close()
        await self._probe.close()

    async def _ready(self) -> str | None:
        """Tell what keeps flushes from being run here."""
        if not self._metrics.worker_polling:
            return "the worker does not poll Temporal"
        return await self._health.redis_problem()

    async def _tell_health(self) -> tuple[bool, object]:
        report = await self._health.report()
        polls = self._metrics.worker_polling is True
        healthy = report.healthy and polls
        facts = render(report)
        assert isinstance(facts, dict)
        return healthy, {**facts, "healthy": healthy, "worker": {"polling": polls}}
