"""Where a sidecar process meets the world: on places of its own, or through its supervisor, which has them.

`OwnFront` is that of a process that is alone: it listens, watches Redis for that, and serves the HTTP pages.
`HandedFront` is that of a worker: clients and questions come from `supervising`. `serving` opens and closes either,
and does not care which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from sidecar.app.building import bind, cannot_listen, greeting
from sidecar.app.merging import families_of, to_plain
from sidecar.app.process import end
from sidecar.app.worker import Post
from sidecar.config.settings import Settings
from sidecar.metrics import Metrics
from sidecar.metrics.collector import MetricsCollector
from sidecar.net.client_tls import ClientTls
from sidecar.net.dialer import Dialer
from sidecar.net.gate import Gate
from sidecar.net.handed_clients import HandedClients
from sidecar.net.http import HealthFacts, HttpServer, Ready, figures_of, registry_of
from sidecar.net.listener import Listener

Accept = Callable[[], asyncio.Protocol]


class Front(Protocol):
    """What `serving` asks of either.

    Attributes: `name` is what the log calls a process with this front.
    """

    name: str

    def keeps_out(self) -> str | None:
        """Return why clients cannot come in; None if they can."""
        ...

    def look(self) -> None:
        """Take note that Redis could not be reached for a client."""
        ...

    async def open(self) -> int:
        """Let clients in as soon as that is possible; return the port when it was, 0 where it is not ours.

        Raises:
            ConfigurationError: an address cannot be had, or Redis must not be shown like this.
        """
        ...

    async def shut(self) -> None:
        """Let nobody in any more."""
        ...

    async def close(self) -> None:
        """End what is left: until now it could be watched."""
        ...


class OwnFront:
    """Places of our own.

    Args:
        settings: say where, and whether everybody may come.
        dialer: the way to Redis.
        accept: makes the protocol of a client.
        background: runs our tasks.
        tls: certificates for those who come by TCP.
        metrics: what `/metrics` shows.
        ready: what `/readyz` says.
        health: what `/health` says.
    """

    name = "sidecar"

    def __init__(
        self,
        settings: Settings,
        dialer: Dialer,
        accept: Accept,
        *,
        background: asyncio.TaskGroup,
        tls: ClientTls | None,
        metrics: Metrics,
        ready: Ready,
        health: HealthFacts,
    ) -> None:
        self._settings = settings
        self._background = background
        self._listener = Listener(
            accept,
            address=settings.listen,
            unix_socket=settings.unix_socket,
            unix_socket_mode=int(settings.unix_socket_mode, 8),
            tls=tls,
        )
        self._gate = Gate(
            self._listener,
            dialer.connect,
            protected=settings.protected_mode,
            greeting=greeting(dialer.endpoint),
        )
        self._http = HttpServer(figures=figures_of(metrics), ready=ready, health=health)
        self._running: list[asyncio.Task[None]] = []

    def keeps_out(self) -> str | None:
        return None if self._gate.up else self._gate.reason

    def look(self) -> None:
        self._gate.look()

    async def open(self) -> int:
        await bind("http_listen", self._settings.http_listen, self._http.listen)
        # Not before: whoever can connect may look at the metrics, too.
        self._running.append(self._background.create_task(self._gate.run(), name="gate"))
        try:
            return await self._gate.first()
        except OSError as problem:
            raise cannot_listen("listen", self._settings.listen, problem) from problem

    async def shut(self) -> None:
        await end(self._running)
        await self._listener.close()

    async def close(self) -> None:
        await self._http.close()


class HandedFront:
    """The supervisor's places.

    Args:
        post: our ends of what ties us to it.
        accept: makes the protocol of a client.
        background: runs our tasks.
        tls: certificates for those who came by TCP.
        metrics: what we report.
        ready: what keeps clients from working, which we report too.
        health: how each component was when it was last looked at, likewise.
        reload: reads anew what can change.
        stop: set when the supervisor has gone.
    """

    name = "worker"

    def __init__(
        self,
        post: Post,
        accept: Accept,
        *,
        background: asyncio.TaskGroup,
        tls: ClientTls | None,
        metrics: Metrics,
        ready: Ready,
        health: Callable[[], object],
        reload: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        self._ready = ready
        self._health = health
        self._background = background
        self._metrics = metrics
        self._registry = registry_of(MetricsCollector(metrics))
        self._clients = HandedClients(
            post.clients,
            post.talk,
            accept,
            tls=tls,
            report=self._report,
            reload=reload,
            orphaned=stop.set,
        )
        self._talking: list[asyncio.Task[None]] = []
        self._taking: list[asyncio.Task[None]] = []

    def keeps_out(self) -> str | None:
        return None  # that is for the supervisor to know

    def look(self) -> None:
        self._clients.look()

    async def open(self) -> int:
        self._talking.append(self._background.create_task(self._clients.talk(), name="talk"))
        self._taking.append(self._background.create_task(self._clients.take(), name="take"))
        await self._clients.first()
        return 0

    async def shut(self) -> None:
        await end(self._taking)
        await self._clients.close()

    async def close(self) -> None:
        await end(self._talking)

    async def _report(self) -> dict[str, Any]:
        self._metrics.look()
        # On a thread, as for a page: it takes milliseconds, which no client should wait for.
        families = await asyncio.to_thread(lambda: to_plain(families_of(self._registry)))
        return {"not_ready": await self._ready(), "health": self._health(), "families": families}
