"""What every client here is given: a sidecar in front of an empty Redis, and that Redis itself to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.support.children import Children, StartSidecar


@pytest.fixture(scope="module")
def started(redis_server: RedisServer) -> Iterator[SidecarProcess]:
    """A sidecar for all tests of a file: its clients come and go, and its start would take most of the time."""
    children = Children()
    yield StartSidecar(children)(redis_url=redis_server.url)
    children.stop_all()


@pytest.fixture
def front(started: SidecarProcess, redis_url: str) -> SidecarProcess:
    """A real sidecar before the shared Redis, emptied; the client under test knows only the sidecar's address."""
    assert started.running, f"the sidecar has ended with {started.exit_code}, and Redis at {redis_url} is up"
    return started


@pytest.fixture
def behind(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis behind the sidecar, to see what arrived there; it answers text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
