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
from sidecar.memory.health import Health
from sidecar.memory.keys import KeySpace
from sidecar.memory.service import MemoryService
from sidecar.metrics import Metrics
from sidecar.net.client_tls import ClientTls
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.gate import Gate
from sidecar.net.http import HttpServer
from sidecar.net.identities import Identities
from sidecar.net.listener import Listener
from sidecar.net.multiplexer import Multiplexer
from sidecar.net.redis_client import redis_client
from sidecar.net.server import Server
from sidecar.net.upstream import Upstream
from sidecar.resp.watched import Credentials
from sidecar.session.session import Limits
from sidecar.store.flush_store import FlushStore
from sidecar.store.memory_store import MemoryStore
from sidecar.store.outbox import Outbox
from sidecar.store.pipe import Pipe
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

LAST_REPLIES_S = 1.0
"""How long Redis may take to answer what clients that have gone already left behind."""

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
    dialer = _dialer(settings)
    client = _redis_client(settings, dialer)
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
        await dialer.close()


class _Sidecar:
    """The objects of one sidecar process, and the order in which they start and stop."""

    def __init__(self, settings: Settings, definitions: Definitions, background: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._definitions = definitions
        self._background = background
        self._metrics = Metrics()
        space = KeySpace(settings.key_prefix, settings.project)
        self._dialer = _dialer(settings)
        self._client = _redis_client(settings, self._dialer)
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
        self._counter = partial(load_counter, engine=settings.token_engine)
        encodings = {definition.encoding for definition in definitions.by_id.values()}
        for encoding in encodings:
            self._counter(encoding)  # loading takes a part of a second, which the first client must not pay
        self._identities = Identities(
            connect=self._dialer.connect, multiplexer=self._multiplexer, service=self._memory_service
        )
        own = self._multiplexer(_own_credentials(self._dialer.endpoint))
        self._own = own
        self._health = Health(
            ping=self._store(own).ping,
            engine=self._engine,
            gauge=self._metrics,
            counter=self._counter,
            encodings=encodings,
        )
        self._server = self._make_server(space)
        self._client_tls = _client_tls(settings)
        self._listener = Listener(
            self._server.accept,
            address=settings.listen,
            unix_socket=settings.unix_socket,
            unix_socket_mode=int(settings.unix_socket_mode, 8),
            tls=self._client_tls,
        )
        self._gate = Gate(
            self._listener,
            self._dialer.connect,
            protected=settings.protected_mode,
            greeting=_greeting(self._dialer.endpoint),
        )
        self._http = HttpServer(metrics=self._metrics, ready=self._ready)
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, wait for `stop`, and stop it in the reverse order."""
        settings = self._settings
        gate = self._background.create_task(self._gate.run(), name="gate")
        tasks = [
            self._background.create_task(self._own.run(), name="multiplexer"),
            self._background.create_task(self._dispatcher.run(), name="dispatcher"),
            self._background.create_task(self._sweeper.run(), name="sweeper"),
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        try:
            await _bind("http_listen", settings.http_listen, self._http.listen)
            port = await self._opened(stop)
            if port is not None:
                _calm_the_garbage_collector()
                log.info("sidecar ready", port=port, redis=str(self._dialer.endpoint), engine=self._engine.name)
                await stop.wait()
            log.info("sidecar stopping")
            self._stopping = True
        finally:
            # 1 no new clients; 2 what clients have sent is answered, and they are let go; 3 what Redis still owes us;
            # 4 flushes that run here (their marks stay); 5 background loops; 6 HTTP last, so that it can be watched.
            await _end([gate])
            await self._listener.close()
            await self._server.close(settings.shutdown_timeout_s)
            await self._identities.close(LAST_REPLIES_S)
            await self._engine.close()
            await _end(tasks)
            await self._client.aclose()
            await self._dialer.close()
            await self._http.close()

    async def _opened(self, stop: asyncio.Event) -> int | None:
        """Wait until clients can connect and return the port; None if the process is to stop before."""
        first = asyncio.ensure_future(self._gate.first())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not first.done():
            first.cancel()
            return None
        try:
            return first.result()
        except OSError as problem:
            raise _cannot_listen("listen", self._settings.listen, problem) from problem

    def _reload(self) -> None:
        """Read anew what can change while we run: the files of TLS, for the connections that come."""
        for what, reload in (
            ("tls", self._client_tls.reload if self._client_tls is not None else None),
            ("redis_tls", self._dialer.reload),
        ):
            if reload is None:
                continue
            try:
                reload()
            except (ConfigurationError, ValueError) as problem:
                log.error("reload.refused", what=what, problem=str(problem))
            else:
                log.info("reload.done", what=what)

    async def _dial_for_client(self, factory: Callable[[], Upstream]) -> Upstream:
        try:
            return await self._dialer.connect(factory)
        except OSError:
            self._gate.look()
            raise

    def _make_server(self, space: KeySpace) -> Server:
        settings, definitions = self._settings, self._definitions
        return Server(
            dial=self._dial_for_client,
            commands=COMMANDS,
            resolve=Addressing(definitions.by_id, space, strict=definitions.strict).resolve,
            identify=self._identities.identify,
            metrics=self._metrics,
            limits=Limits(settings.max_request_bytes, settings.max_pending_commands),
            max_clients=settings.max_clients,
            max_output_bytes=settings.max_output_bytes,
            max_held_bytes=settings.max_held_bytes,
        )

    # ---- one user of Redis ----

    def _multiplexer(self, credentials: Credentials | None) -> Multiplexer:
        return Multiplexer(
            self._dialer.connect,
            credentials=credentials,
            database=self._dialer.endpoint.database,
            deadline_s=self._settings.command_timeout_s,
            on_reconnect=self._count_reconnect,
            on_replica=self._dialer.suspect,
        )

    def _store(self, pipe: Pipe) -> MemoryStore:
        # A name of its own for each: the numbers that tell a repeated batch are counted per store.
        return MemoryStore(pipe=pipe, sidecar_id=secrets.token_hex(6), on_due=self._due)

    def _memory_service(self, pipe: Pipe) -> MemoryService:
        return MemoryService(
            store=self._store(pipe),
            counter=self._counter,
            encoding_for_model=encoding_for_model,
            definitions=self._definitions.by_id,
            engine=self._engine,
            health=self._health,
            tally=self._metrics,
            max_request_messages=self._settings.max_request_messages,
        )

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
        """Tell what keeps clients from working: nothing but Redis does."""
        if self._stopping:
            return "the sidecar is being stopped"
        if not self._gate.up:
            return self._gate.reason
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await self._health.redis_round_trip()
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


def _dialer(settings: Settings) -> Dialer:
    password = settings.sentinel_password
    return Dialer(
        RedisEndpoint.parse(settings.redis_url),
        tls=settings.redis_tls(),
        sentinel_username=settings.sentinel_username,
        sentinel_password=password.get_secret_value() if password else None,
    )


def _client_tls(settings: Settings) -> ClientTls | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return ClientTls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    except ValueError as problem:
        raise ConfigurationError([f"tls_cert: {problem}"]) from problem


def _own_credentials(endpoint: RedisEndpoint) -> Credentials | None:
    if endpoint.password is None:
        return None
    return Credentials((endpoint.username or "default").encode(), endpoint.password.encode())


def _greeting(endpoint: RedisEndpoint) -> list[tuple[str, ...]]:
    if endpoint.password is None:
        return []
    return [("AUTH", *([endpoint.username] if endpoint.username else []), endpoint.password)]


def _redis_client(settings: Settings, dialer: Dialer) -> redis.asyncio.Redis:
    endpoint = dialer.endpoint
    return redis_client(
        dialer,
        username=endpoint.username,
        password=endpoint.password,
        database=endpoint.database,
        client_name="memsidecar-flush",
        reply_timeout_s=FLUSH_REPLY_TIMEOUT_S,
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
        raise _cannot_listen(setting, address, problem) from problem


def _cannot_listen(setting: str, address: str, problem: OSError) -> ConfigurationError:
    return ConfigurationError([f"{setting}: cannot listen on {address}: {problem.strerror or problem}"])


def _stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
