"""What the Temporal worker's process shows of itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable

import pytest
from redis.asyncio import Redis

from sidecar.dev.ports import free_port
from sidecar.dev.servers import TemporalServer
from tests.app.test_serving import page
from tests.support.children import StartWorker
from tests.support.waiting import eventually


def fetched(port: int, path: str) -> Awaitable[tuple[int, str]]:
    return asyncio.to_thread(page, f"http://127.0.0.1:{port}{path}")


async def test_pages(
    redis_url: str, redis_client: Redis, temporal_server: TemporalServer, worker_process: StartWorker
) -> None:
    """Readiness, health and metrics are a worker's: it polls, Redis and Temporal are there; the SDK has its own page.

    What Redis refuses shows at once, and passes by itself.
    """
    ours, sdk = free_port(), free_port()
    worker_process(
        redis_url=redis_url,
        temporal_address=temporal_server.address,
        settings={
            "MEMSIDECAR_TEMPORAL_TASK_QUEUE": f"pages-{ours}",
            "MEMSIDECAR_WORKER_HTTP_LISTEN": f"127.0.0.1:{ours}",
            "MEMSIDECAR_TEMPORAL_METRICS_LISTEN": f"127.0.0.1:{sdk}",
        },
    )
    assert await fetched(ours, "/readyz") == (200, "ready\n")
    status, text = await fetched(ours, "/health")
    health = json.loads(text)
    assert (status, health["healthy"], health["worker"]) == (200, True, {"polling": True})
    assert (health["redis"]["state"], health["flush-engine"]["name"], health["flush-engine"]["state"]) == (
        "up",
        "temporal",
        "up",
    )
    lines = (await fetched(ours, "/metrics"))[1].splitlines()
    assert {
        "memsidecar_worker_polling 1.0",
        "memsidecar_redis_up 1.0",
        'memsidecar_flush_engine_up{engine="temporal"} 1.0',
        "memsidecar_definitions 1.0",
    } <= set(lines)
    names = {line.partition("{")[0] for line in (await fetched(sdk, "/metrics"))[1].splitlines()}
    assert "temporal_request_total" in names
    assert "temporal_request_latency_seconds_bucket" in names
    await redis_client.config_set("maxmemory", 1)
    try:
        status, text = await fetched(ours, "/readyz")
        assert (status, text.partition(" ")[0]) == (503, "OOM")
        assert json.loads((await fetched(ours, "/health"))[1])["redis"]["state"] == "down"
    finally:
        await redis_client.config_set("maxmemory", 0)
    assert await fetched(ours, "/readyz") == (200, "ready\n")


async def test_without_temporal(redis_url: str, worker_process: StartWorker) -> None:
    """A worker that cannot poll is alive and not ready."""
    ours = free_port()
    worker_process(
        redis_url=redis_url,
        temporal_address=f"127.0.0.1:{free_port()}",
        settings={"MEMSIDECAR_WORKER_HTTP_LISTEN": f"127.0.0.1:{ours}"},
        wait=False,
    )

    async def alive() -> bool:
        try:
            return await fetched(ours, "/healthz") == (200, "ok\n")
        except OSError:
            return False

    await eventually(alive, limit_s=30)
    assert await fetched(ours, "/readyz") == (503, "the worker does not poll Temporal\n")
    assert (await fetched(ours, "/health"))[0] == 503


@pytest.mark.parametrize("setting", ["worker_http_listen", "temporal_metrics_listen"])
async def test_a_taken_address(setting: str, redis_url: str, worker_process: StartWorker) -> None:
    """An address that cannot be had ends the start, with the setting's name."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        worker = worker_process(
            redis_url=redis_url,
            temporal_address=None,
            settings={f"MEMSIDECAR_{setting.upper()}": address},
            wait=False,
        )
        await eventually(lambda: not worker.running, limit_s=30)
        assert f"{setting}: cannot listen on {address}" in "\n".join(worker.tail())
