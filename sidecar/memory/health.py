"""The health of the process: what MEMHEALTH, `/health` and the readiness probe tell.

Asked on the process's own connection, not on the client's: whoever may not touch memories may still ask how we are.
Nothing sticks: each component is what the last look found, looks are taken all the time (`run`), and a process that
nobody uses looks like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, perf_counter, time
from typing import Any, Protocol

from sidecar.errors import UpstreamError
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.ports import FlushEngine, TextCounter
from sidecar.memory.results import ComponentState, HealthReport, State

HEALTH_LIMIT_S = 2.0
"""A component that says nothing for this long is down."""

READY_LIMIT_S = 1.0
"""A kubelet gives a probe one second by default; Redis answers within a millisecond."""

LOOK_S = 10.0
"""Between two looks that nobody asked for: what recovers is seen to within this time, and it costs Redis one script."""

SWEEPS_MISSED = 3
"""So many sweeps without a look at the outbox, and it is down: one may have met a Redis that was restarted."""


class Ping(Protocol):
    """Tries whether Redis can be used; calls back with None or the exception. `store.probe.Probe` is one."""

    def __call__(self, done: Callable[[Any], None]) -> None: ...


class HealthGauge(Protocol):
    """What is counted anyway: what the sweeper last saw of the outbox, and locks; and who wants to know how we are.

    `sidecar.metrics.Metrics` is one.
    """

    engine_up: bool | None
    redis_up: bool | None
    locks_acquired: int
    locks_refused: int
    outbox_depth: int
    outbox_age_seconds: float
    outbox_swept: float


class Health:
    """Looks at every component.

    Args:
        ping: of the process's own connection to Redis.
        engine: runs flushes.
        gauge: what is known of the outbox; it is told what is up.
        counter: returns the counter of an encoding.
        catalogue: the definitions in force, whose encodings are told.
        lock_waiters: returns how many locks and changes wait for somebody else's lease now.
        sweep_interval_s: how often the outbox is looked at.
    """

    def __init__(
        self,
        *,
        ping: Ping,
        engine: FlushEngine,
        gauge: HealthGauge,
        counter: Callable[[str], TextCounter],
        catalogue: Catalogue,
        lock_waiters: Callable[[], int],
        sweep_interval_s: float = LOOK_S,
    ) -> None:
        self._ping = ping
        self._engine = engine
        self._gauge = gauge
        self._counter = counter
        self._catalogue = catalogue
        self._lock_waiters = lock_waiters
        self._sweep_interval_s = sweep_interval_s
        self._asking: asyncio.Task[HealthReport] | None = None
        self._redis, self._engine_state, self._outbox = _Watched(), _Watched(), _Watched()
        self._redis_ms: float | None = None

    async def run(self) -> None:
        """Look at everything regularly, until cancelled."""
        while True:
            await self.report()
            await asyncio.sleep(LOOK_S)

    async def report(self) -> HealthReport:
        """Ask everything, each with a limit; once for all who want to know at the same time."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="health")
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, _: asyncio.Task[HealthReport]) -> None:
        self._asking = None

    async def _ask(self) -> HealthReport:
        await asyncio.gather(self._look_at_redis(), self._look_at_engine())
        return self.latest()

    def latest(self) -> HealthReport:
        """Return what the last look found, without asking anybody."""
        gauge = self._gauge
        swept_s = time() - gauge.outbox_swept
        if gauge.outbox_swept:
            self._outbox.note(swept_s < SWEEPS_MISSED * self._sweep_interval_s + HEALTH_LIMIT_S, swept_s)
        return HealthReport(
            healthy=self._redis.up is True,
            redis_ms=self._redis_ms,
            engine=self._engine.name,
            engine_up=self._engine_state.up is True,
            outbox_depth=gauge.outbox_depth,
            outbox_age_seconds=gauge.outbox_age_seconds,
            encodings={
                encoding: self._counter(encoding).engine
                for encoding in sorted({definition.encoding for definition in self._catalogue.values()})
            },
            locks_acquired=gauge.locks_acquired,
            locks_refused=gauge.locks_refused,
            lock_waiters=self._lock_waiters(),
            states={
                "redis": self._redis.state(),
                "flush-engine": self._engine_state.state(),
                "outbox": self._outbox.state(),
            },
        )

    async def _look_at_redis(self) -> None:
        try:
            async with asyncio.timeout(HEALTH_LIMIT_S):
                await self.redis_round_trip()
        except (TimeoutError, UpstreamError):
            pass  # noted: the report says that Redis is down

    async def _look_at_engine(self) -> None:
        try:
            async with asyncio.timeout(HEALTH_LIMIT_S):
                up = await self._engine.healthy()
        except TimeoutError:
            up = False
        self._gauge.engine_up = up
        self._engine_state.note(up)

    async def redis_problem(self) -> str | None:
        """Try whether Redis can be used, within `READY_LIMIT_S`; return what is wrong, None if nothing is."""
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await self.redis_round_trip()
        except TimeoutError:
            return f"Redis did not answer within {READY_LIMIT_S:g} s"
        except UpstreamError as problem:
            return problem.logged  # not its text, which may name a user: whoever asks has not logged in
        return None

    async def redis_round_trip(self) -> float:
        """Try whether Redis can be used; return the seconds that it took.

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
        up = False
        try:
            self._ping(done)
            await answered
            up = True
        finally:
            seconds = perf_counter() - begun
            self._redis_ms = round(seconds * 1000, 3) if up else None
            self._gauge.redis_up = up
            self._redis.note(up)
        return seconds


class _Watched:
    """Since when a component is up or down, and when it was last looked at."""

    def __init__(self) -> None:
        self.up: bool | None = None
        self._since = self._looked = 0.0

    def note(self, up: bool, ago_s: float = 0.0) -> None:
        """Note what a look found, so many seconds ago."""
        self._looked = monotonic() - ago_s
        if up is not self.up:
            self.up, self._since = up, monotonic()

    def state(self) -> ComponentState:
        """Return what is known now."""
        if self.up is None:
            return ComponentState("unknown", None, None)
        now = monotonic()
        state: State = "up" if self.up else "down"
        return ComponentState(state, round((now - self._looked) * 1000), round((now - self._since) * 1000))
