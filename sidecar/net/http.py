"""The HTTP side: `/metrics` for Prometheus, `/healthz` and `/readyz` for a kubelet, `/health` for people. Never on the
data path.

As much of HTTP/1.1 (RFC 9112) as these and curl need: GET and HEAD without a body, one after the other on a connection.
A framework would take 10 MB and a third of the time to start, for four pages. The counterpart is `metrics`, which
knows the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import msgspec
import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sidecar.metrics import Metrics
from sidecar.metrics.collector import MetricsCollector

MAX_HEAD_BYTES = 16 * 1024
"""Request line and headers of one request; proxies add some, and nobody needs a tenth of it."""

MAX_CONNECTIONS = 256
"""Open at a time; more are closed at once. Whoever scrapes or probes keeps one or two."""

IDLE_S = 75.0
"""How long a connection may say nothing. Prometheus asks every 15 to 60 s and keeps its connection."""

Ready = Callable[[], Awaitable[str | None]]
Figures = Callable[[], Awaitable[CollectorRegistry]]
Facts = Callable[[], object]
HealthFacts = Callable[[], Awaitable[tuple[bool, object]]]
"""Tells whether all is well, and how each component is."""

log = structlog.get_logger(__name__)


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """Return what shows some metrics together with the process's own figures."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    for own in (ProcessCollector, PlatformCollector, GCCollector):
        own(registry=registry)
    return registry


def figures_of(metrics: Metrics) -> Figures:
    """Return what `/metrics` shows of a process that is alone."""
    registry = registry_of(MetricsCollector(metrics))

    async def figures() -> CollectorRegistry:
        metrics.look()
        return registry

    return figures


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class BadRequest(Exception):
    """A request that is not understood; it is answered, and its connection is closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """The head of a request: what is of interest in it."""

    method: str
    path: str
    accept: str
    keeps_open: bool


class HttpServer:
    """Serves the pages.

    Args:
        figures: returns what `/metrics` shows.
        ready: returns None when Redis can be used, else what is wrong. Temporal has no part in it: a sidecar without
            Temporal stores and reads, and a restart would not bring Temporal back.
        health: what `/health` shows, as JSON; its status is 503 where not all is well.
        facts: further pages, by path: what they show, as JSON.
        idle_s: how long a connection may say nothing, in seconds.
    """

    def __init__(
        self,
        *,
        figures: Figures,
        ready: Ready,
        health: HealthFacts,
        facts: Mapping[str, Facts] | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._figures = figures
        self._ready = ready
        self._health = health
        self._facts = facts or {}
        self._idle_s = idle_s
        self._pages: dict[str, Callable[[Request], Awaitable[Page]]] = {
            "/metrics": self._metrics_page,
            "/healthz": self._alive_page,
            "/readyz": self._ready_page,
            "/health": self._health_page,
            **dict.fromkeys(self._facts, self._facts_page),
        }
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Start to serve; return the port.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD_BYTES)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop serving; what is being answered is not waited for."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="http")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # it has gone, or said nothing for too long
                while await self._answer_one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer the next request; return whether another one may follow.

        Raises:
            OSError: the client has gone, or takes too long (`TimeoutError` is one).
            asyncio.IncompleteReadError: likewise.
        """
        keeps_open = has_body = True
        async with asyncio.timeout(self._idle_s):
            try:
                request = parsed(await reader.readuntil(b"\r\n\r\n"))
                page, keeps_open, has_body = await self._page(request), request.keeps_open, request.method != "HEAD"
            except asyncio.LimitOverrunError:
                page, keeps_open = _told(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), False
            except BadRequest as problem:
                page, keeps_open = _told(problem.status), False
            writer.write(_head(page, keeps_open=keeps_open) + (page.body if has_body else b""))
            await writer.drain()
        return keeps_open

    async def _page(self, request: Request) -> Page:
        make = self._pages.get(request.path)
        if make is None:
            return _told(HTTPStatus.NOT_FOUND)
        try:
            return await make(request)
        except Exception:  # whoever asks must get an answer; what is wrong is our own mistake
            log.exception("http.failed", path=request.path)
            return _told(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _metrics_page(self, request: Request) -> Page:
        encode, content_type = choose_encoder(request.accept)
        # Writing the text takes milliseconds, which no client should wait for; counters may be read from a thread.
        body = await asyncio.to_thread(encode, await self._figures())
        return Page(HTTPStatus.OK, body, content_type)

    async def _alive_page(self, _request: Request) -> Page:
        return Page(HTTPStatus.OK, b"ok\n")

    async def _ready_page(self, _request: Request) -> Page:
        problem = await self._ready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        return Page(status, f"{problem or 'ready'}\n".encode())

    async def _health_page(self, _request: Request) -> Page:
        well, facts = await self._health()
        return _as_json(facts, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _facts_page(self, request: Request) -> Page:
        return _as_json(self._facts[request.path]())


def parsed(head: bytes) -> Request:
    """Read the head of a request, with the empty line that ends it.

    Raises:
        BadRequest: it is none, or one that wants something else than a page.
    """
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():  # folded lines, too, which nobody may send any more
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        headers[name.lower()] = value.strip()
    if method not in ("GET", "HEAD"):
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED)
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # what stands behind would be taken for the next request
    closes = "close" in headers.get("connection", "").lower() or version == "HTTP/1.0"
    return Request(method, target.partition("?")[0], headers.get("accept", ""), not closes)


def _as_json(facts: object, status: HTTPStatus = HTTPStatus.OK) -> Page:
    return Page(status, msgspec.json.encode(facts), "application/json; charset=utf-8")


def _told(status: HTTPStatus) -> Page:
    return Page(status, f"{status.value}: {status.phrase}\n".encode())


def _head(page: Page, *, keeps_open: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        *(["Allow: GET, HEAD"] if page.status is HTTPStatus.METHOD_NOT_ALLOWED else []),
        *([] if keeps_open else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
