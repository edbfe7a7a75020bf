"""One Redis and one sidecar for all sequences of a test module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.differential.theatre import Theatre
from tests.support.children import Children, StartSidecar

NO_SWEEP = {"MEMSIDECAR_SWEEP_INTERVAL_S": "3600"}
"""A MONITOR would hear the sweeper look for due memories, at any time."""


@pytest.fixture(scope="module")
def module_children() -> Iterator[Children]:
    """What lives as long as a test module."""
    children = Children()
    yield children
    children.stop_all()


@pytest.fixture(scope="module")
def corpus_redis(
    module_children: Children, redis_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """A Redis that sequences may reconfigure."""
    directory = tmp_path_factory.mktemp("corpus")
    return module_children.add(RedisServer(port=free_port(), directory=directory, program=redis_program))


@pytest.fixture(scope="module")
def corpus_sidecar(module_children: Children, corpus_redis: RedisServer) -> SidecarProcess:
    """A sidecar in front of it, which has logged in as the default user: a sequence may give that user a password."""
    sidecar = StartSidecar(module_children)(redis_url=corpus_redis.url, settings=NO_SWEEP)
    with redis.Redis.from_url(sidecar.url) as client:
        client.execute_command("MEMINFO", "anything")
    return sidecar


@pytest.fixture(scope="module")
def theatre(corpus_redis: RedisServer, corpus_sidecar: SidecarProcess) -> Iterator[Theatre]:
    """Both ways to that Redis."""
    theatre = Theatre(corpus_redis, corpus_sidecar.port)
    yield theatre
    theatre.close()
