"""The HTTP pages, asked by a real client."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.metrics import Metrics
from sidecar.net.http import HttpServer


async def get(server: HttpServer, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Return status, content type and body."""
    port = await server.listen("127.0.0.1", 0)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept}) as response,
        ):
            return response.status, response.headers["Content-Type"], await response.text()
    finally:
        await server.close()


async def nothing_wrong() -> str | None:
    return None


async def redis_is_down() -> str | None:
    return "Redis cannot be reached"


async def test_alive() -> None:
    """`/healthz` says ok as long as the process answers, whatever Redis does."""
    assert await get(HttpServer(metrics=Metrics(), ready=redis_is_down), "/healthz") == (
        200,
        "text/plain; charset=utf-8",
        "ok\n",
    )


async def test_ready() -> None:
    """`/readyz` is 200 when Redis can be used, else 503 with the reason."""
    assert (await get(HttpServer(metrics=Metrics(), ready=nothing_wrong), "/readyz"))[::2] == (200, "ready\n")
    down = await get(HttpServer(metrics=Metrics(), ready=redis_is_down), "/readyz")
    assert down[::2] == (503, "Redis cannot be reached\n")


async def test_metrics() -> None:
    """`/metrics` has our counters and the process's own figures, in Prometheus's text format."""
    metrics = Metrics()
    metrics.command("MEMREAD", "ok", 0.001)
    status, kind, body = await get(HttpServer(metrics=metrics, ready=nothing_wrong), "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    names = {family.name for family in parse_text(body)}
    assert {"memsidecar_commands", "memsidecar_build_info", "python_info", "process_start_time_seconds"} <= names


async def test_openmetrics() -> None:
    """A Prometheus that asks for OpenMetrics gets it."""
    status, kind, body = await get(
        HttpServer(metrics=Metrics(), ready=nothing_wrong), "/metrics", "application/openmetrics-text; version=1.0.0"
    )
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")
    assert "\nmemsidecar_clients 0.0\n" in body


async def test_other_pages() -> None:
    """There is nothing else to see."""
    assert (await get(HttpServer(metrics=Metrics(), ready=nothing_wrong), "/"))[0] == 404


async def test_a_scrape_at_a_busy_time() -> None:
    """A scrape while counters change is whole: the text is written from copies."""
    metrics = Metrics()
    server = HttpServer(metrics=metrics, ready=nothing_wrong)

    async def busy() -> None:
        for number in range(2_000):
            metrics.command(f"MEM{number}", "ok", 0.1)
            if not number % 50:
                await asyncio.sleep(0)

    (_, _, body), _ = await asyncio.gather(get(server, "/metrics"), busy())
    assert list(parse_text(body))


async def test_a_taken_port() -> None:
    """An address that is in use is an error at once."""
    first, second = (HttpServer(metrics=Metrics(), ready=nothing_wrong) for _ in range(2))
    port = await first.listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="address already in use"):
        await second.listen("127.0.0.1", port)
    await first.close()
    await second.close()
