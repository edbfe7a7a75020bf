"""`serve --workers N`: a process that accepts clients and has others serve them.

It watches Redis by one gate and accepts while Redis is there, gives each client to the worker that has fewest, adds up
their metrics, starts anew what dies, and stops all of them in order. A worker is the same program with the same
settings (`serving`), spawned, never forked: threads do not survive a fork. No byte of a client passes here, so it
needs next to no processor time, and it loads no vocabulary and no Temporal.

Clients are given away instead of letting every worker listen at the port (SO_REUSEPORT) or on one shared socket; what
was measured is in docs/workers.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Sequence
from time import monotonic
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from sidecar.app.building import bind, cannot_listen, greeting, make_client_tls, make_dialer
from sidecar.app.merging import Families, Family, MergedCollector, families_of, lasting, merge
from sidecar.app.process import end, stop_on_signals
from sidecar.app.reloading import DefinitionsReload
from sidecar.app.worker import Worker
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
from sidecar.metrics.families import WORKERS
from sidecar.net.acceptor import Acceptor
from sidecar.net.gate import Gate
from sidecar.net.http import HttpServer, registry_of
from sidecar.net.listener import Listener

LOOK_INTERVAL_S = 2.0
"""How often workers are asked for what they have counted. What one counts between this and its violent end is lost to
the metrics; asking costs it two milliseconds."""

FIRST_REST_S = 0.1
LONGEST_REST_S = 10.0
"""Rests before a dead worker's place is filled double from the first to the longest: one that dies by accident is
missed for the second that a start takes, and one that always dies costs a start in ten seconds."""

STEADY_S = 30.0
"""A worker that lived so long did not die of its start: the next rest is the first one again."""

STOP_MARGIN_S = 5.0
"""What a worker may take to stop beyond the time that clients get: flushes that run in it, and its connections."""

log = structlog.get_logger(__name__)


async def supervise(settings: Settings, command: Sequence[str]) -> int:
    """Run the sidecar with `settings.workers` processes until SIGTERM or SIGINT; return the exit code.

    Args:
        settings: of the sidecar.
        command: program and arguments that run it with these settings.

    Raises:
        ConfigurationError: an address cannot be bound, or Redis must not be shown like this.
    """
    stop = stop_on_signals()
    make_client_tls(settings)  # so that what is wrong with its files is said once
    async with asyncio.TaskGroup() as background:
        return await _Supervisor(settings, command, background).run(stop)


class _Supervisor:
    """The workers, and what they have in common: the places where clients connect, and the pages."""

    def __init__(self, settings: Settings, command: Sequence[str], background: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._command = command
        self._background = background
        self._workers: dict[int, Worker] = {}
        self._departed: Families = []
        self._restarts = 0
        self._began = False
        self._stopping = asyncio.Event()
        self._clean = True
        self._failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._own = registry_of()
        self._level_reload = DefinitionsReload(settings, None)
        self._dialer = make_dialer(settings)
        self._acceptor = Acceptor(has_room=self._has_room, take=self._give)
        self._listener = Listener(
            self._acceptor,
            address=settings.listen,
            unix_socket=settings.unix_socket,
            unix_socket_mode=int(settings.unix_socket_mode, 8),
        )
        self._gate = Gate(
            self._listener,
            self._dialer.connect,
            protected=settings.protected_mode,
            greeting=greeting(self._dialer.endpoint),
        )
        self._http = HttpServer(
            figures=self._figures, ready=self._ready, health=self._health, facts={"/workers": self._facts}
        )

    async def run(self, stop: asyncio.Event) -> int:
        """Start the workers and then let clients in; wait for `stop`, and stop all in the reverse order."""
        places: list[asyncio.Task[None]] = []
        gate: list[asyncio.Task[None]] = []
        looking = [self._background.create_task(self._look_often(), name="look")]
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        stopped = asyncio.create_task(stop.wait())
        try:
            await bind("http_listen", self._settings.http_listen, self._http.listen)
            await self._check_places()  # the workers take seconds to start
            if await self._all_up(places, stopped):
                gate.append(self._background.create_task(self._gate.run(), name="gate"))
                first = asyncio.ensure_future(self._gate.first())
                await self._either(first, stopped)
                if first.done():
                    self._say_ready(first)
                    await self._either(stopped)
                first.cancel()
            log.info("sidecar stopping", workers=len(self._workers))
        finally:
            # 1 no new clients; 2 each worker answers what it has taken; 3 HTTP last, so that it can be watched.
            self._stopping.set()
            stopped.cancel()
            await end(gate)
            await self._listener.close()
            await self._stop_workers(places)
            await end(looking)
            await self._level_reload.close()
            await self._dialer.close()
            await self._http.close()
        if self._failed.done():
            return self._failed.result()
        return 0 if self._clean else 1

    # ---- start ----

    async def _check_places(self) -> None:
        try:
            await self._listener.check()
        except OSError as problem:
            raise cannot_listen("listen", self._settings.listen, problem) from problem

    async def _all_up(self, places: list[asyncio.Task[None]], stopped: asyncio.Future[Any]) -> bool:
        """Start the workers; return whether all are up, and not one has failed, or everything is to stop.

        One tries for all: what is wrong with the configuration, and only a worker finds out, is said once.
        """
        for numbers in (range(1, 2), range(2, self._settings.workers + 1)):
            for number in numbers:
                self._workers[number] = self._make(number)
                places.append(self._background.create_task(self._fill(number), name=f"worker-{number}"))
            began = asyncio.create_task(self._begin(numbers), name="begin")
            await self._either(began, stopped)
            if not began.done():
                await end([began])
                return False
        self._began = True
        return True

    async def _begin(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            await self._workers[number].began()

    def _make(self, number: int) -> Worker:
        return Worker(number, self._command, on_room=self._acceptor.look, on_missed=self._gate.look)

    async def _either(self, *events: asyncio.Future[Any]) -> None:
        """Wait for one of these, or for a worker that fails before all are up."""
        await asyncio.wait({*events, self._failed}, return_when=asyncio.FIRST_COMPLETED)

    def _say_ready(self, first: asyncio.Future[int]) -> None:
        try:
            port = first.result()
        except OSError as problem:
            raise cannot_listen("listen", self._settings.listen, problem) from problem
        log.info("sidecar ready", port=port, redis=str(self._dialer.endpoint), workers=len(self._workers))

    # ---- one place among the workers ----

    async def _fill(self, number: int) -> None:
        """Run a worker, and another one whenever it dies."""
        rest_s = FIRST_REST_S
        while True:
            worker = self._workers[number]
            begun = monotonic()
            try:
                code = await worker.run()
            except OSError as problem:
                code = 1
                log.error("worker.not_spawned", worker=number, why=problem.strerror)
            self._departed = merge([self._departed, lasting(worker.last)])
            worker.last, worker.health = [], None
            if self._stopping.is_set():
                if code and (worker.served or code != -signal.SIGTERM):
                    self._clean = False
                    log.error("worker.ended", worker=number, how=_how(code))
                return
            if not self._began:
                if not self._failed.done():
                    self._failed.set_result(code if code > 0 else 128 - code)
                return
            if monotonic() - begun > STEADY_S:
                rest_s = FIRST_REST_S
            log.error("worker.died", worker=number, how=_how(code), again_in_s=rest_s)
            worker.not_ready = "it has died and is to be started again"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), rest_s)
                return
            rest_s = min(rest_s * 2, LONGEST_REST_S)
            self._restarts += 1
            self._workers[number] = self._make(number)

    async def _stop_workers(self, places: list[asyncio.Task[None]]) -> None:
        for worker in self._workers.values():
            worker.terminate()
        if not places:
            return
        _, late = await asyncio.wait(places, timeout=self._settings.shutdown_timeout_s + STOP_MARGIN_S)
        if late:
            for worker in self._workers.values():
                worker.kill()
            await asyncio.wait(late)

    # ---- clients ----

    def _has_room(self) -> bool:
        return any(worker.has_room for worker in self._workers.values())

    def _give(self, client: socket.socket) -> None:
        for worker in sorted(self._workers.values(), key=lambda worker: worker.load):
            if worker.has_room and worker.give(client):
                return
        client.close()  # the last one has died since we asked

    def _reload(self) -> None:
        """Have all read anew what can change: the workers TLS and definitions, the gate how Redis's TLS is verified,
        and we the level of our own lines."""
        for worker in self._workers.values():
            worker.reload()
        self._level_reload.start()
        try:
            self._dialer.reload()
        except ConfigurationError as problem:
            log.error("reload.refused", what="redis_tls", problem=str(problem))

    # ---- pages ----

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await self._look()

    async def _look(self) -> None:
        await asyncio.gather(*(worker.look() for worker in self._workers.values()))

    async def _figures(self) -> CollectorRegistry:
        await self._look()
        parts = [self._departed, *(worker.last for worker in self._workers.values()), families_of(self._own)]
        merged = CollectorRegistry()
        merged.register(MergedCollector([*merge(parts), *self._own_families()]))
        return merged

    def _own_families(self) -> Families:
        up = sum(worker.up for worker in self._workers.values())
        return [
            Family(each.full_name, each.kind, each.text, {(each.full_name + suffix, ()): value})
            for each, suffix, value in zip(WORKERS, ("", "_total"), (up, self._restarts), strict=True)
        ]

    async def _ready(self) -> str | None:
        """Tell what keeps clients from working: Redis, or a worker."""
        if self._stopping.is_set():
            return "the sidecar is being stopped"
        await self._look()
        return self._not_ready()

    async def _health(self) -> tuple[bool, object]:
        """Return how each worker is, as the last look of its own found; well are all that are up and healthy."""
        await self._look()
        workers = list(self._workers.values())
        well = [worker.up and worker.health is not None and worker.health["healthy"] is True for worker in workers]
        told = [
            {"worker": worker.number, "up": worker.up, "not-ready": worker.not_ready, "health": worker.health}
            for worker in workers
        ]
        healthy = bool(well) and all(well)
        return healthy, {"healthy": healthy, "not-ready": self._not_ready(), "workers": told}

    def _not_ready(self) -> str | None:
        for worker in self._workers.values():
            if worker.not_ready is not None:
                return f"worker {worker.number}: {worker.not_ready}"
        if not self._began:
            return "the workers are being started"
        return None if self._gate.up else self._gate.reason

    def _facts(self) -> object:
        """Return how the workers were when they were last asked."""
        return {
            "not_ready": self._not_ready(),
            "restarts": self._restarts,
            "workers": [
                {
                    "worker": worker.number,
                    "pid": worker.pid,
                    "up": worker.up,
                    "clients": worker.load if worker.up else 0,
                    "not_ready": worker.not_ready,
                }
                for worker in self._workers.values()
            ],
        }


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
