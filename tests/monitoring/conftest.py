"""The processes whose metrics dashboard and alerts name."""

from __future__ import annotations

import pytest

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.probes import http_succeeds
from sidecar.dev.servers import RedisServer, TemporalServer
from tests.monitoring.naming import shown
from tests.support.children import Children, StartSidecar, StartWorker

QUEUE = {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": "monitoring"}


@pytest.fixture(scope="session")
def metric_names(shared_children: Children, redis_server: RedisServer, temporal_server: TemporalServer) -> set[str]:
    """Every metric that a sidecar of several processes and a worker have, as Prometheus calls them."""
    redis_url, address = redis_server.url, temporal_server.address
    several, port = {**QUEUE, "MEMSIDECAR_WORKERS": "2"}, free_port()
    pages = {**QUEUE, "MEMSIDECAR_WORKER_HTTP_LISTEN": f"{LOOPBACK}:{port}"}
    sidecar = StartSidecar(shared_children)(
        redis_url=redis_url, engine="temporal", temporal_address=address, settings=several
    )
    worker = StartWorker(shared_children)(redis_url=redis_url, temporal_address=address, settings=pages)
    # Some are there only when they have first been looked at, such as whether Temporal answers.
    assert sidecar.becomes(lambda: http_succeeds(sidecar.http_port, "/readyz"), limit_s=30)
    names = shown(sidecar.metrics_url, f"http://{LOOPBACK}:{port}/metrics")
    worker.stop()
    sidecar.stop()
    return names
