"""The health of the process: what MEMHEALTH and the readiness probe tell.

Asked on the process's own connection, not on the client's: whoever may not touch memories may still ask how we are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

from sidecar.errors import UpstreamError
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.ports import FlushEngine, TextCounter
from sidecar.memory.results import HealthReport

HEALTH_LIMIT_S = 2.0
"""A component that says nothing for this long is down."""


class Ping(Protocol):
    """Asks Redis for a sign of life; calls back with None or the exception."""

    def __call__(self, done: Callable[[Any], None]) -> None: ...


class OutboxGauge(Protocol):
    """What is counted anyway: what the sweeper last saw of the outbox, whether the engine was up, and locks.

    `sidecar.metrics.Metrics` is one.
    """

    engine_up: bool | None
    locks_acquired: int
    locks_refused: int

    @property
    def outbox_depth(self) -> int: ...

    @property
    def outbox_age_seconds(self) -> float: ...


class Health:
    """Looks at every component.

    Args:
        ping: of the process's own connection to Redis.
        engine: runs flushes.
        gauge: what is known of the outbox.
        counter: returns the counter of an encoding.
        catalogue: the definitions in force, whose encodings are told.
        lock_waiters: returns how many locks and changes wait for somebody else's lease now.
    """

    def __init__(
        self,
        *,
        ping: Ping,
        engine: FlushEngine,
        gauge: OutboxGauge,
        counter: Callable[[str], TextCounter],
        catalogue: Catalogue,
        lock_waiters: Callable[[], int],
    ) -> None:
        self._ping = ping
        self._engine = engine
        self._gauge = gauge
        self._counter = counter
        self._catalogue = catalogue
        self._lock_waiters = lock_waiters
        self._asking: asyncio.Task[HealthReport] | None = None

    async def report(self) -> HealthReport:
        """Ask everything, each with a limit; once for all who want to know at the same time."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="health")
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, _: asyncio.Task[HealthReport]) -> None:
        self._asking = None

    async def _ask(self) -> HealthReport:
        redis_ms: float | None = None
        try:
            async with asyncio.timeout(HEALTH_LIMIT_S):
                redis_ms = round(await self.redis_round_trip() * 1000, 3)
        except (TimeoutError, UpstreamError):
            pass  # the report says that Redis is down
        try:
            async with asyncio.timeout(HEALTH_LIMIT_S):
                engine_up = await self._engine.healthy()
        except TimeoutError:
            engine_up = False
        self._gauge.engine_up = engine_up
        return HealthReport(
            healthy=redis_ms is not None,
            redis_ms=redis_ms,
            engine=self._engine.name,
            engine_up=engine_up,
            outbox_depth=self._gauge.outbox_depth,
            outbox_age_seconds=self._gauge.outbox_age_seconds,
            encodings={
                encoding: type(self._counter(encoding)).__name__.removesuffix("Counter").lower()
                for encoding in sorted({definition.encoding for definition in self._catalogue.values()})
            },
            locks_acquired=self._gauge.locks_acquired,
            locks_refused=self._gauge.locks_refused,
            lock_waiters=self._lock_waiters(),
        )

    async def redis_round_trip(self) -> float:
        """Ask Redis for a sign of life; return the seconds that it took.

        Raises:
            UpstreamError: Redis refused, or cannot be reached.
        """
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(result: object) -> None:
            if answered.done():
                return
            if isinstance(result, BaseException):
                answered.set_exception(result)
            else:
                answered.set_result(None)

        begun = perf_counter()
        self._ping(done)
        await answered
        return perf_counter() - begun
