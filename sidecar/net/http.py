"""The HTTP side: `/metrics` for Prometheus, `/healthz` and `/readyz` for a kubelet. Never on the data path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from sidecar.metrics import Metrics, MetricsCollector

Ready = Callable[[], Awaitable[str | None]]


class HttpServer:
    """Serves the three pages.

    Args:
        metrics: what `/metrics` shows, together with the process's own figures.
        ready: returns None when Redis can be used, else what is wrong. Temporal has no part in it: a sidecar without
            Temporal stores and reads, and a restart would not bring Temporal back.
    """

    def __init__(self, *, metrics: Metrics, ready: Ready) -> None:
        self._ready = ready
        self._registry = CollectorRegistry()
        self._registry.register(MetricsCollector(metrics))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics_page),
                web.get("/healthz", self._alive_page),
                web.get("/readyz", self._ready_page),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def listen(self, host: str, port: int) -> int:
        """Start to serve; return the port.

        Raises:
            OSError: the address cannot be bound.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _metrics_page(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # Writing the text takes milliseconds, which no client should wait for; counters may be read from a thread.
        body = await asyncio.to_thread(encode, self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _alive_page(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready_page(self, _request: web.Request) -> web.Response:
        problem = await self._ready()
        return web.Response(text=f"{problem or 'ready'}\n", status=503 if problem else 200)
