"""One Redis and one sidecar with the definitions of all modules, for the whole package."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.definitions.effects import files
from tests.e2e.definitions.talking import Talk
from tests.support.children import Children, StartSidecar


@pytest.fixture(scope="package")
def package_children() -> Iterator[Children]:
    """What lives as long as the tests of this package."""
    children = Children()
    yield children
    children.stop_all()


@pytest.fixture(scope="package")
def memory_redis(
    package_children: Children, redis_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """The Redis with the memories."""
    directory = tmp_path_factory.mktemp("redis")
    return package_children.add(RedisServer(port=free_port(), directory=directory, program=redis_program))


@pytest.fixture(scope="package")
def memory_sidecar(
    package_children: Children, memory_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """A sidecar that reads a folder with the file of every module."""
    folder = tmp_path_factory.mktemp("definitions")
    for name, text in files().items():
        (folder / name).write_text(text)
    return StartSidecar(package_children)(redis_url=memory_redis.url, definitions=folder)


@pytest.fixture
async def talk(memory_sidecar: SidecarProcess) -> AsyncIterator[Talk]:
    """A client of the sidecar."""
    async with redis.asyncio.Redis.from_url(memory_sidecar.url, decode_responses=True) as client:
        yield Talk(client)


@pytest.fixture
async def behind(memory_redis: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the Redis behind the sidecar."""
    async with redis.asyncio.Redis.from_url(memory_redis.url, decode_responses=True) as client:
        yield client
