"""The HTTP pages, asked by a real client."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.metrics import Metrics
from sidecar.net.http import IDLE_S, MAX_CONNECTIONS, MAX_HEAD_BYTES, HttpServer, figures_of


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


async def well() -> tuple[bool, object]:
    return True, {"healthy": True}


async def ill() -> tuple[bool, object]:
    return False, {"healthy": False, "redis": {"age-ms": None}}


async def test_health() -> None:
    """`/health` is JSON, with 503 where not all is well."""
    kind = "application/json; charset=utf-8"
    server = HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well)
    assert await get(server, "/health") == (200, kind, '{"healthy":true}')
    server = HttpServer(figures=figures_of(Metrics()), ready=redis_is_down, health=ill)
    assert await get(server, "/health") == (503, kind, '{"healthy":false,"redis":{"age-ms":null}}')


async def test_alive() -> None:
    """`/healthz` says ok as long as the process answers, whatever Redis does."""
    assert await get(HttpServer(figures=figures_of(Metrics()), ready=redis_is_down, health=ill), "/healthz") == (
        200,
        "text/plain; charset=utf-8",
        "ok\n",
    )


async def test_ready() -> None:
    """`/readyz` is 200 when Redis can be used, else 503 with the reason."""
    assert (await get(HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well), "/readyz"))[::2] == (
        200,
        "ready\n",
    )
    down = await get(HttpServer(figures=figures_of(Metrics()), ready=redis_is_down, health=ill), "/readyz")
    assert down[::2] == (503, "Redis cannot be reached\n")


async def test_metrics() -> None:
    """`/metrics` has our counters and the process's own figures, in Prometheus's text format."""
    metrics = Metrics()
    metrics.command("MEMREAD", "ok", 0.001)
    status, kind, body = await get(
        HttpServer(figures=figures_of(metrics), ready=nothing_wrong, health=well), "/metrics"
    )
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    names = {family.name for family in parse_text(body)}
    assert {"memsidecar_commands", "memsidecar_build_info", "python_info", "process_start_time_seconds"} <= names


async def test_openmetrics() -> None:
    """A Prometheus that asks for OpenMetrics gets it."""
    status, kind, body = await get(
        HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well),
        "/metrics",
        "application/openmetrics-text; version=1.0.0",
    )
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")
    assert "\nmemsidecar_clients 0.0\n" in body


async def test_facts() -> None:
    """A page of facts is JSON, and made anew each time."""
    numbers = iter(range(10))
    server = HttpServer(
        figures=figures_of(Metrics()), ready=nothing_wrong, health=well, facts={"/facts": lambda: {"n": next(numbers)}}
    )
    assert await get(server, "/facts") == (200, "application/json; charset=utf-8", '{"n":0}')


async def test_other_pages() -> None:
    """There is nothing else to see."""
    assert (await get(HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well), "/"))[0] == 404


async def test_a_scrape_at_a_busy_time() -> None:
    """A scrape while counters change is whole: the text is written from copies."""
    metrics = Metrics()
    server = HttpServer(figures=figures_of(metrics), ready=nothing_wrong, health=well)

    async def busy() -> None:
        for number in range(2_000):
            metrics.command(f"MEM{number}", "ok", 0.1)
            if not number % 50:
                await asyncio.sleep(0)

    (_, _, body), _ = await asyncio.gather(get(server, "/metrics"), busy())
    assert list(parse_text(body))


async def test_a_taken_port() -> None:
    """An address that is in use is an error at once."""
    first, second = (HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well) for _ in range(2))
    port = await first.listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="address already in use"):
        await second.listen("127.0.0.1", port)
    await first.close()
    await second.close()


async def talk(server: HttpServer, *requests: bytes) -> bytes:
    """Send bytes on one connection, and return what came back until it was closed."""
    port = await server.listen("127.0.0.1", 0)
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.writelines(requests)
            answer = await reader.read()
            writer.close()
            return answer
    finally:
        await server.close()


def serving(*, idle_s: float = IDLE_S) -> HttpServer:
    return HttpServer(figures=figures_of(Metrics()), ready=nothing_wrong, health=well, idle_s=idle_s)


async def test_several_on_one_connection() -> None:
    """Requests that come together are answered in order, and the one that wants to leave is the last."""
    answer = await talk(
        serving(),
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nHEAD /healthz?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    kept = head % 3 + b"\r\n"
    assert answer == kept + b"ok\n" + kept + head % 6 + b"Connection: close\r\n\r\nready\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"405 Method Not Allowed"),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"413"),
        (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"413"),
        (b"GET /healthz\r\n\r\n", b"400 Bad Request"),
        (b"GET /healthz HTTP/2.0\r\n\r\n", b"400 Bad Request"),
        (b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", b"400 Bad Request"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", b"400 Bad Request"),
        (b"*1\r\n$4\r\nPING\r\n\r\n", b"400 Bad Request"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", b"431"),
    ],
)
async def test_what_is_no_question(request_: bytes, status: bytes) -> None:
    """What asks for no page is refused, and the connection closed: what follows might be taken for a request."""
    answer = await talk(serving(), request_, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


async def test_an_old_client() -> None:
    """A client of HTTP/1.0 gets its page, and the end of the connection."""
    assert (await talk(serving(), b"GET /healthz HTTP/1.0\r\n\r\n")).endswith(b"\r\nConnection: close\r\n\r\nok\n")


async def test_a_silent_one() -> None:
    """Who says nothing, or not all, is let go after a while."""
    assert await talk(serving(idle_s=0.05), b"GET /healthz HT") == b""


async def test_a_page_that_fails() -> None:
    """A mistake of our own is told as such, and the next request is answered."""

    async def fails() -> str | None:
        raise LookupError("a bug")

    server = HttpServer(figures=figures_of(Metrics()), ready=fails, health=well)
    answer = await talk(server, b"GET /readyz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answer.endswith(b"ok\n")
    assert b"a bug" not in answer


async def test_the_end() -> None:
    """Closing the server ends connections that are open."""
    server = serving()
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b"ok\n")
        await server.close()
        assert await reader.read() == b""
    writer.close()


async def test_too_many() -> None:
    """Above the limit connections are closed at once, and those that are open go on."""
    server = serving()
    port = await server.listen("127.0.0.1", 0)
    open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
    async with asyncio.timeout(20):
        for reader, writer in open_ones:
            writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"ok\n")
        late, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await late.read() == b""
        await server.close()
    for _, open_one in [*open_ones, (late, writer)]:
        open_one.close()
