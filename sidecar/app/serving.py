"""The sidecar's process: builds its objects, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import structlog

from sidecar.app.building import (
    make_client_tls,
    make_dialer,
    make_redis_client,
    make_undo,
    own_credentials,
    ready_counter,
)
from sidecar.app.flushes import Flushes
from sidecar.app.fronts import Front, HandedFront, OwnFront
from sidecar.app.loop_lag import watch_loop_lag
from sidecar.app.process import (
    calm_the_garbage_collector,
    end,
    favour_the_event_loop,
    give_freed_memory_back,
    stop_on_signals,
)
from sidecar.app.reloading import DefinitionsReload
from sidecar.app.tracing import Tracing
from sidecar.app.users import Users
from sidecar.app.worker import Post
from sidecar.commands.health import render as render_health
from sidecar.commands.table import COMMANDS
from sidecar.config.definitions import Definitions
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from sidecar.memory.addressing import Addressing
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.health import Health
from sidecar.memory.keys import KeySpace
from sidecar.memory.service import MemoryService
from sidecar.metrics import Metrics
from sidecar.net.command_log import CommandLog
from sidecar.net.identities import Identities
from sidecar.net.multiplexer import Multiplexer
from sidecar.net.server import Server
from sidecar.net.upstream import Upstream
from sidecar.resp.watched import Credentials
from sidecar.session.limits import Limits
from sidecar.store.pipe import Pipe
from sidecar.store.probe import Probe
from sidecar.store.wakeups import Wakeups
from sidecar.templates.engine import TemplateEngine

LAST_REPLIES_S = 1.0
"""How long Redis may take to answer what clients that have gone already left behind."""


log = structlog.get_logger(__name__)


async def serve(settings: Settings, definitions: Definitions, post: Post | None = None) -> None:
    """Run the sidecar until SIGTERM or SIGINT.

    Args:
        settings: of the sidecar.
        definitions: of its memories.
        post: where this process is one of several workers; it stops then when its supervisor has gone, too. None: it
            is alone.

    Raises:
        ConfigurationError: an address cannot be bound.
    """
    stop = stop_on_signals()
    favour_the_event_loop()
    async with asyncio.TaskGroup() as background:
        await _Sidecar(settings, definitions, background, stop, post).run()


class _Sidecar:
    """The objects of one sidecar process, and the order in which they start and stop."""

    def __init__(
        self,
        settings: Settings,
        definitions: Definitions,
        background: asyncio.TaskGroup,
        stop: asyncio.Event,
        post: Post | None,
    ) -> None:
        self._settings = settings
        self._background = background
        self._metrics = Metrics()
        self._metrics.engine = settings.engine
        self._catalogue = Catalogue(definitions.by_id, strict=definitions.strict, summarisers=definitions.summarisers)
        self._definitions_reload = DefinitionsReload(settings, self._catalogue, told=self._reloaded)
        space = KeySpace(settings.key_prefix, settings.project)
        self._dialer = make_dialer(settings)
        self._client = make_redis_client(settings, self._dialer)
        self._tracing = Tracing(settings, "memsidecar")
        self._flushes = Flushes(
            settings,
            self._catalogue,
            space,
            client=self._client,
            metrics=self._metrics,
            tracer=self._tracing.tracer,
        )
        self._wakeups = Wakeups(self._client)
        self._counter = ready_counter(settings, definitions.by_id.values())
        self._users = Users(
            settings=settings,
            space=space,
            catalogue=self._catalogue,
            counter=self._counter,
            engine=self._flushes.engine,
            steps=self._flushes.steps,
            undo=make_undo(settings, self._client),
            wakeups=self._wakeups,
            metrics=self._metrics,
            due=self._flushes.due,
        )
        self._identities = Identities(
            connect=self._dialer.connect, multiplexer=self._multiplexer, service=self._memory_service
        )
        self._own = self._multiplexer(own_credentials(self._dialer.endpoint))
        self._health = Health(
            ping=Probe(self._own, space),
            engine=self._flushes.engine,
            gauge=self._metrics,
            counter=self._counter,
            catalogue=self._catalogue,
            lock_waiters=lambda: self._users.lock_waiters,
            sweep_interval_s=settings.sweep_interval_s,
        )
        self._server = self._make_server(space)
        self._watch_gauges()
        self._client_tls = make_client_tls(settings)
        self._stop = stop
        self._front = self._make_front(post)
        self._stopping = False

    async def run(self) -> None:
        """Start everything, wait for `stop`, and stop it in the reverse order."""
        tasks = [
            self._background.create_task(self._own.run(), name="multiplexer"),
            self._background.create_task(self._wakeups.run(), name="wakeups"),
            self._background.create_task(self._health.run(), name="health"),
            self._background.create_task(watch_loop_lag(self._metrics.tick), name="loop-lag"),
            *self._flushes.start(self._background),
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        try:
            port = await self._opened()
            if port is not None:
                calm_the_garbage_collector()
                give_freed_memory_back()
                where = {"port": port} if port else {}
                log.info(
                    f"{self._front.name} ready",
                    **where,
                    redis=str(self._dialer.endpoint),
                    engine=self._flushes.engine.name,
                )
                await self._stop.wait()
            log.info(f"{self._front.name} stopping")
            self._stopping = True
        finally:
            # 1 no new clients; 2 what clients have sent is answered, and they are let go; 3 what Redis still owes us;
            # 4 flushes that run here (their marks stay), and their process; 5 background loops; 6 HTTP last, so that it
            # can be watched.
            await self._front.shut()
            await self._server.close(self._settings.shutdown_timeout_s)
            await self._identities.close(LAST_REPLIES_S)
            await self._definitions_reload.close()
            await self._flushes.close()
            await end(tasks)
            await self._client.aclose()
            await self._dialer.close()
            await self._tracing.close()
            await self._front.close()

    async def _opened(self) -> int | None:
        """Wait until clients can connect and return the port; None if the process is to stop before."""
        opened = asyncio.create_task(self._front.open(), name="open")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({opened, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not opened.done():
            opened.cancel()
            return None
        return opened.result()

    def _watch_gauges(self) -> None:
        watch = self._metrics.watch
        watch("held_bytes", lambda: self._server.held_bytes)
        watch("redis_connections", lambda: self._identities.connected + self._own.connected)
        watch("lock_waiters", lambda: self._users.lock_waiters)
        watch("definitions", lambda: len(self._catalogue))

    def _make_front(self, post: Post | None) -> Front:
        accept, tls = self._server.accept, self._client_tls
        if post is None:
            return OwnFront(
                self._settings,
                self._dialer,
                accept,
                background=self._background,
                tls=tls,
                metrics=self._metrics,
                ready=self._ready,
                health=self._tell_health,
            )
        return HandedFront(
            post,
            accept,
            background=self._background,
            tls=tls,
            metrics=self._metrics,
            ready=self._ready,
            health=lambda: render_health(self._health.latest()),
            reload=self._reload,
            stop=self._stop,
        )

    def _reload(self) -> None:
        """Read anew what can change while we run: the files of TLS, for the connections that come, and definitions."""
        self._definitions_reload.start()
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
        self._flushes.renew()

    def _reloaded(self, how: str) -> None:
        self._metrics.reloaded(how)
        if how == "done":
            self._flushes.renew()  # a deputy that was started meanwhile has the level of before

    async def _dial_for_client(self, factory: Callable[[], Upstream]) -> Upstream:
        try:
            return await self._dialer.connect(factory)
        except OSError:
            self._front.look()
            raise

    def _make_server(self, space: KeySpace) -> Server:
        settings = self._settings
        return Server(
            dial=self._dial_for_client,
            commands=COMMANDS,
            resolve=Addressing(self._catalogue, space, TemplateEngine().render).resolve,
            identify=self._identities.identify,
            metrics=self._metrics,
            command_log=CommandLog(slow_ms=settings.slow_command_ms),
            tracer=self._tracing.tracer,
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
            on_round_trip=self._metrics.redis_seconds.observe,
            on_refused=self._metrics.redis_refused,
        )

    def _memory_service(self, pipe: Pipe) -> MemoryService:
        return self._users.service(pipe, self._health)

    def _count_reconnect(self) -> None:
        self._metrics.redis_reconnects += 1

    async def _tell_health(self) -> tuple[bool, object]:
        report = await self._health.report()
        return report.healthy, render_health(report)

    async def _ready(self) -> str | None:
        """Tell what keeps clients from working: nothing but Redis does."""
        if self._stopping:
            return "the sidecar is being stopped"
        if (why := self._front.keeps_out()) is not None:
            return why
        return await self._health.redis_problem()
