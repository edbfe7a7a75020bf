"""Redis, a model's endpoint, a sidecar and a Prometheus that looks at it: what the test and the picture play on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.flush.summarisers import endpoint as endpoints
from tests.monitoring.dashboard import ON, WINDOW
from tests.monitoring.life import Answering, Life, admit_the_stranger, definitions_file
from tests.monitoring.panels import Query
from tests.monitoring.prometheus import Prometheus
from tests.support.children import Children, StartSidecar

WINDOW_S = 10
"""That rates are taken over here; Grafana takes four times the interval of the scrapes, at least."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is played on."""

    sidecar: SidecarProcess
    prometheus: Prometheus
    life: Life


@asynccontextmanager
async def staged(children: Children, redis_program: Path, program: Path, directory: Path) -> AsyncIterator[Stage]:
    """Start everything; `program` is Prometheus's, `directory` an empty one."""
    folders = [directory / name for name in ("redis", "prometheus")]
    for folder in folders:
        folder.mkdir()
    server = children.add(RedisServer(port=free_port(), directory=folders[0], program=redis_program))
    admit_the_stranger(server.url)
    async with endpoints.serving(Answering()) as endpoint:
        file = definitions_file(directory / "definitions.yaml", endpoint.url)
        sidecar = StartSidecar(children)(
            redis_url=server.url, definitions=file, settings={"MEMSIDECAR_SWEEP_INTERVAL_S": "1"}
        )
        targets = {"memsidecar": f"{LOOPBACK}:{sidecar.http_port}"}
        prometheus = children.add(Prometheus(program=program, directory=folders[1], port=free_port(), targets=targets))
        yield Stage(sidecar, prometheus, Life(sidecar.port))


def asked(query: Query) -> str:
    """Return a query as Grafana would send it: of all sidecars, with the prices that stand on the page."""
    text = query.expression.replace("$on", ON).replace("$window", WINDOW).replace(WINDOW, f"{WINDOW_S}s")
    for name, value in {"$job": ".*", "$instance": ".*", "$price_in": "0.15", "$price_out": "0.6"}.items():
        text = text.replace(name, value)
    return text
