"""Sidecars in front of the shared Redis, for tests that neither stop nor configure one: starting one is slow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.support.children import Children, StartSidecar, ready

DEFINITIONS: list[dict[str, Any]] = [
    {"id": "turn", "max_tokens": None, "locking": {"wait": "60s"}},
    {"id": "hasty", "max_tokens": None, "locking": {"wait": "50ms"}},
    {"id": "chat", "max_tokens": 2_000, "flush": {"strategy": "hybrid_summary", "threshold": 0.9, "target": 0.5}},
]
"""Whose changes wait a minute for a lease; whose wait nearly not at all; what is compacted above 1,800 tokens."""


@pytest.fixture(scope="session")
def redis_server(
    shared_children: Children, redis_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """The shared Redis of these tests, which is not that of all others: their sidecars live on, and look after it every
    few seconds, while others count each command of Redis.
    """
    directory = tmp_path_factory.mktemp("redis-e2e")
    return shared_children.add(RedisServer(port=free_port(), directory=directory, program=redis_program))


@pytest.fixture(scope="session")
def shared_sidecar(shared_children: Children, redis_server: RedisServer) -> SidecarProcess:
    """A `memsidecar serve` with default settings before the shared Redis: see `plain_sidecar`."""
    return StartSidecar(shared_children)(redis_url=redis_server.url)


@pytest.fixture
def plain_sidecar(shared_sidecar: SidecarProcess, redis_url: str) -> SidecarProcess:
    """The shared sidecar before an empty Redis, for tests that neither stop nor configure one: starting one is slow."""
    assert shared_sidecar.running, f"it has ended with {shared_sidecar.exit_code}, and Redis at {redis_url} is up"
    return shared_sidecar


@pytest.fixture(scope="session")
def shared_definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that holds `DEFINITIONS`."""
    path = tmp_path_factory.mktemp("sidecars") / "definitions.yaml"
    path.write_text(json.dumps({"definitions": DEFINITIONS}))
    return path


@pytest.fixture(scope="session")
def shared_sidecars(
    shared_children: Children, redis_server: RedisServer, shared_definitions: Path
) -> tuple[SidecarProcess, SidecarProcess]:
    """Both, for the whole run."""
    start = StartSidecar(shared_children)
    first, second = (start(redis_url=redis_server.url, definitions=shared_definitions, wait=False) for _ in range(2))
    ready(first)
    ready(second)
    return first, second


@pytest.fixture
def sidecars(shared_sidecars: tuple[SidecarProcess, SidecarProcess], redis_url: str) -> tuple[SidecarProcess, ...]:
    """Both, in front of a Redis that is empty again."""
    return shared_sidecars
