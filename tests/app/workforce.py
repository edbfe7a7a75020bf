"""What the tests of sidecars with workers share: how one is started, asked, and given clients."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import redis.asyncio
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import patient
from tests.support.children import StartSidecar, ready
from tests.support.waiting import eventually

START_LIMIT_S = 60.0
"""For three processes that load vocabularies one after the other, on a machine that has more to do."""

RISING = ("counter", "histogram")


def start(start_sidecar: StartSidecar, *, workers: int = 2, **more: Any) -> SidecarProcess:
    """Return a sidecar whose workers all serve."""
    settings = {"MEMSIDECAR_WORKERS": str(workers), **more.pop("settings", {})}
    sidecar = start_sidecar(settings=settings, wait=False, **more)
    ready(sidecar)
    return sidecar


def page(sidecar: SidecarProcess, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(sidecar.metrics_url.replace("/metrics", path), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


async def state(sidecar: SidecarProcess) -> dict[str, Any]:
    """Return what `/workers` tells."""
    told: dict[str, Any] = json.loads((await asyncio.to_thread(page, sidecar, "/workers"))[1])
    return told


async def pids(sidecar: SidecarProcess) -> list[int]:
    return [worker["pid"] for worker in (await state(sidecar))["workers"]]


async def clients(sidecar: SidecarProcess) -> list[int]:
    return [worker["clients"] for worker in (await state(sidecar))["workers"]]


async def until_clients(sidecar: SidecarProcess, wanted: list[int]) -> None:
    async def are() -> bool:
        return sorted(await clients(sidecar)) == wanted

    await eventually(are, why=f"the workers do not have {wanted} clients")


async def rising(sidecar: SidecarProcess) -> dict[tuple[str, str], float]:
    """Return every sample that may never go back."""
    text = (await asyncio.to_thread(page, sidecar, "/metrics"))[1]
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        if family.type in RISING
        for sample in family.samples
    }


async def appends(sidecar: SidecarProcess) -> float:
    return (await rising(sidecar))["memsidecar_messages_appended_total", "[]"]


@asynccontextmanager
async def crowd(sidecar: SidecarProcess, size: int, *, unix: Path | None = None) -> AsyncIterator[list[Any]]:
    """Give connected clients, one connection each, that have all been answered once."""
    async with AsyncExitStack() as stack:
        await until_clients(sidecar, [0, 0])
        url = sidecar.url if unix is None else f"unix://{unix}"
        made = [await stack.enter_async_context(patient(url)) for _ in range(size)]
        assert await asyncio.gather(*(client.ping() for client in made)) == [True] * size
        yield made


async def ping(client: redis.asyncio.Redis) -> bool:
    """Whether a client's connection lives."""
    try:
        return bool(await client.ping())
    except redis.exceptions.ConnectionError:
        return False
