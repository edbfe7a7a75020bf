"""What every client here is given: a sidecar in front of an empty Redis, and that Redis itself to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from sidecar.dev.servers import SidecarProcess


@pytest.fixture
def front(plain_sidecar: SidecarProcess) -> SidecarProcess:
    """A real sidecar before the shared Redis, emptied; the client under test knows only the sidecar's address."""
    return plain_sidecar


@pytest.fixture
def behind(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis behind the sidecar, to see what arrived there; it answers text."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
