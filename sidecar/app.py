"""The composition root: builds every object of a process from its settings, starts them, and stops them in order.

Two processes are built here, the sidecar (`serve`) and the Temporal worker (`work`). Nothing else sees the settings.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import redis.asyncio
import structlog

from sidecar.commands.table import COMMANDS
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError, UpstreamError
from sidecar.flush.dispatcher import Dispatcher
from sidecar.flush.local import LocalEngine
from sidecar.flush.steps import FlushSteps
from sidecar.flush.summarisers import ExtractiveSummariser
from sidecar.flush.sweeper import Sweeper
from sidecar.memory.addressing import Addressing, Memory
from sidecar.memory.keys import KeySpace
from sidecar.memory.service import MemoryService
from sidecar.metrics import Metrics
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.http import HttpServer
from sidecar.net.multiplexer import CONNECT_TIMEOUT_S, Multiplexer
from sidecar.net.server import Server
from sidecar.store.flush_store import FlushStore
from sidecar.store.memory_store import MemoryStore
from sidecar.store.outbox import Outbox
from sidecar.tokens.counter import load_counter
from sidecar.tokens.models import encoding_for_model

if TYPE_CHECKING:
    from sidecar.temporal.starter import TemporalEngine

READY_LIMIT_S = 1.0
"""A kubelet gives a probe one second by default; Redis answers a PING in less than a millisecond."""

GC_THRESHOLDS = (50_000, 20, 100)
"""Young objects before a search (CPython: 700), and how many searches until one looks at older ones."""

FLUSH_REPLY_TIMEOUT_S = 20.0
"""A step of a flush is one script or one page, at most a tenth of a second of Redis's time; a Redis that says nothing
for this long hangs."""

CANCEL_AGAIN_S = 0.2
"""A cancelled task ends within milliseconds, unless the cancellation was swallowed."""

log = structlog.get_logger(__name__)


async def serve(settings: Settings, definitions: Definitions) -> None:
    """Run the sidecar until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: an address cannot be bound.
    """
    stop = _stop_on_signals()
    async with asyncio.TaskGroup() as background:
        await _Sidecar(settings, definitions, background).run(stop)


async def work(settings: Settings, definitions: Definitions) -> None:
    """Run the Temporal worker until SIGTERM or SIGINT."""
    # Not at the top: a sidecar with the local engine does not pay for loading the SDK.
    from sidecar.temporal.activities import FlushActivities
    from sidecar.temporal.connection import Security
    from sidecar.temporal.worker import run_worker

    stop = _stop_on_signals()
    metrics = Metrics()
    client = _redis_client(settings)
    steps = _flush_steps(settings, definitions, client, metrics)
    try:
        await run_worker(
            activities=FlushActivities(steps=steps, metrics=metrics, project=settings.project),
            stop=stop,
            address=settings.temporal_address,
            namespace=settings.temporal_namespace,
            task_queue=settings.temporal_task_queue,
            security=Security(api_key=_temporal_key(settings), tls=settings.temporal_tls),
        )
    finally:
        await client.aclose()


class _Sidecar:
    """The objects of one sidecar process, and the order in which they start and stop."""

    def __init__(self, settings: Settings, definitions: Definitions, background: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._background = background
        self._metrics = Metrics()
        space = KeySpace(settings.key_prefix, settings.project)
        endpoint = RedisEndpoint.parse(settings.redis_url)
        self._client = _redis_client(settings)
        self._steps = _flush_steps(settings, definitions, self._client, self._metrics)
        self._engine = self._flush_engine(space)
        outbox = Outbox(self._client, space)
        self._dispatcher = Dispatcher(engine=self._engine, is_due=outbox.is_marked, metrics=self._metrics)
        self._sweeper = Sweeper(
            outbox=outbox,
            notify=self._dispatcher.notify,
            space=space,
            definitions=definitions.by_id,
            metrics=self._metrics,
            interval_s=settings.sweep_interval_s,
        )
        self._multiplexer = Multiplexer(
            endpoint, deadline_s=settings.command_timeout_s, on_reconnect=self._count_reconnect
        )
        self._store = MemoryStore(pipe=self._multiplexer, sidecar_id=secrets.token_hex(6), on_due=self._due)
        counter = partial(load_counter, engine=settings.token_engine)
        for encoding in {definition.encoding for definition in definitions.by_id.values()}:
            counter(encoding)  # loading takes a part of a second, which the first client must not pay
        self._service = MemoryService(
            store=self._store,
            counter=counter,
            encoding_for_model=encoding_for_model,
            definitions=definitions.by_id,
            engine=self._engine,
            tally=self._metrics,
        )
        self._server = Server(
            endpoint=endpoint,
            commands=COMMANDS,
            resolve=Addressing(definitions.by_id, space, strict=definitions.strict).resolve,
            execute=self._service.execute,
            metrics=self._metrics,
            max_clients=settings.max_clients,
        )
        self._http = HttpServer(metrics=self._metrics, ready=self._ready)

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, wait for `stop`, and stop it in the reverse order."""
        settings = self._settings
        tasks = [
            self._background.create_task(self._multiplexer.run(), name="multiplexer"),
            self._background.create_task(self._dispatcher.run(), name="dispatcher"),
            self._background.create_task(self._sweeper.run(), name="sweeper"),
        ]
        try:
            await _bind("http_listen", settings.http_listen, self._http.listen)
            port = await _bind("listen", settings.listen, self._server.listen)
            log.info(
                "sidecar ready", port=port, redis=str(RedisEndpoint.parse(settings.redis_url)), engine=self._engine.name
            )
            await stop.wait()
            log.info("sidecar stopping")
        finally:
            # 1 no new clients, running MEM commands are answered; 2 what Redis still owes us; 3 our own tasks;
            # 4 flushes that run here (their marks stay); 5 background loops; 6 HTTP last, so that it can be watched.
            await self._server.close(settings.shutdown_timeout_s)
            await self._multiplexer.drained(1.0)
            await self._service.close()
            await self._engine.close()
            await _end(tasks)
            await self._client.aclose()
            await self._http.close()

    def _flush_engine(self, space: KeySpace) -> LocalEngine | TemporalEngine:
        settings = self._settings
        if settings.engine == "local":
            return LocalEngine(steps=self._steps, space=space)
        # Only here, because loading the SDK takes half a second and 50 MB.
        from sidecar.temporal.connection import Security
        from sidecar.temporal.starter import TemporalEngine

        return TemporalEngine(
            address=settings.temporal_address,
            namespace=settings.temporal_namespace,
            task_queue=settings.temporal_task_queue,
            project=settings.project,
            security=Security(api_key=_temporal_key(settings), tls=settings.temporal_tls),
        )

    def _due(self, memory: Memory) -> None:
        self._dispatcher.notify(memory.definition.id, memory.instance)

    def _count_reconnect(self) -> None:
        self._metrics.redis_reconnects += 1

    async def _ready(self) -> str | None:
        """Tell what keeps MEM commands from working: nothing but Redis does."""
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await self._service.redis_round_trip()
        except TimeoutError:
            return f"Redis did not answer within {READY_LIMIT_S:g} s"
        except UpstreamError as problem:
            return str(problem)
        return None


def _calm_the_garbage_collector() -> None:
    """Look for cycles rarely: a command makes many objects and no cycle, and the search took a tenth of an append.

    What exists now lives as long as the process, so it is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, through which redis-py sends every command, can swallow a
    cancellation (python/cpython#86296), and the task would run on for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)


def _redis_client(settings: Settings) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        settings.redis_url,
        client_name="memsidecar-flush",
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=FLUSH_REPLY_TIMEOUT_S,
    )


def _temporal_key(settings: Settings) -> str | None:
    return settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None


def _flush_steps(
    settings: Settings, definitions: Definitions, client: redis.asyncio.Redis, metrics: Metrics
) -> FlushSteps:
    space = KeySpace(settings.key_prefix, settings.project)
    return FlushSteps(
        store=FlushStore(client, space),
        definitions=definitions.by_id,
        counter=partial(load_counter, engine=settings.token_engine),
        summariser=ExtractiveSummariser(),
        metrics=metrics,
    )


async def _bind(setting: str, address: str, listen: Callable[..., object]) -> int:
    host, _, port = address.rpartition(":")
    try:
        return await listen(host.strip("[]"), int(port))  # type: ignore[misc,no-any-return]
    except OSError as problem:
        raise ConfigurationError([f"{setting}: cannot listen on {address}: {problem.strerror or problem}"]) from problem


def _stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
