"""Fixtures for all tests: real servers, and nothing of them left at the end.

The servers are plain child processes without an event loop, so they can live for the whole run while every
async test has a loop of its own. Names: `redis_server` and `temporal_server` are shared by all tests,
`start_…` and `…_process` are factories for a test's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from sidecar.dev import ports
from sidecar.dev.binaries import find_redis_server, find_temporal
from sidecar.dev.ports import free_port
from sidecar.dev.problems import ProgramMissing
from sidecar.dev.servers import RedisServer, TemporalServer
from tests.support.children import Children, StartRedis, StartSidecar, StartTemporal, StartWorker
from tests.support.requirements import missing

REDIS_VARIABLE = "MEMSIDECAR_TEST_REDIS"
"""Environment variable with the path of the redis-server to test against; unset: the one on this machine."""


def pytest_configure() -> None:
    """Give each of several processes that test side by side ports of its own.

    A port that one of them has drawn is free until its server listens; the others cannot know, and in thousands of
    draws it happens.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports.CHOICE = ports.CHOICE[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


SESSION = pytest.StashKey[pytest.Session]()
"""The session that has finished, for the exit code."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remember how the run went, for `pytest_unconfigure`."""
    session.config.stash[SESSION] = session


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the interpreter's own farewell once Temporal's library is loaded.

    Its threads and the end of the interpreter do not agree: about one exit in ten crashes on Python 3.11, after
    everything has passed.
    """
    if "temporalio" in sys.modules and SESSION in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[SESSION].exitstatus)


@pytest.fixture(scope="session")
def shared_children() -> Iterator[Children]:
    """What lives as long as the run."""
    children = Children(shared=True)
    yield children
    children.stop_all()


@pytest.fixture
def children() -> Iterator[Children]:
    """What lives as long as the test; `children.add(child)` starts one."""
    children = Children()
    yield children
    children.stop_all()


@pytest.fixture(scope="session")
def redis_program() -> Path:
    """The redis-server to test against."""
    named = os.environ.get(REDIS_VARIABLE)
    try:
        return find_redis_server(Path(named) if named else None)
    except ProgramMissing as problem:
        missing(f"these tests need a real Redis: {problem}")


@pytest.fixture(scope="session")
def redis_server(
    shared_children: Children, redis_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> RedisServer:
    """A real Redis, shared by all tests; whoever kills or configures one uses `start_redis`."""
    directory = tmp_path_factory.mktemp("redis")
    return shared_children.add(RedisServer(port=free_port(), directory=directory, program=redis_program))


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of the shared Redis, empty: no data, and no scripts of an earlier test."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the shared, emptied Redis; it answers bytes."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def start_redis(children: Children, tmp_path: Path, redis_program: Path) -> StartRedis:
    """Factory of own Redis servers."""
    return StartRedis(children, tmp_path, redis_program)


@pytest.fixture(scope="session")
def temporal_program() -> Path:
    """The Temporal CLI, whose development server the tests use."""
    try:
        return find_temporal()
    except ProgramMissing as problem:
        missing(f"these tests need a real Temporal server: {problem}")


@pytest.fixture(scope="session")
def temporal_server(shared_children: Children, temporal_program: Path) -> TemporalServer:
    """A real Temporal dev server, shared by all tests: use own task queues and workflow ids."""
    return shared_children.add(TemporalServer(port=free_port(), program=temporal_program))


@pytest.fixture
def start_temporal(children: Children, temporal_program: Path) -> StartTemporal:
    """Factory of own Temporal dev servers."""
    return StartTemporal(children, temporal_program)


@pytest.fixture
def sidecar_process(children: Children) -> StartSidecar:
    """Factory of real `memsidecar serve` processes."""
    return StartSidecar(children)


@pytest.fixture
def worker_process(children: Children) -> StartWorker:
    """Factory of real `memsidecar worker` processes."""
    return StartWorker(children)
