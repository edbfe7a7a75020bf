"""One sidecar for all tests of the contract, with a definition for each thing that they need one for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.contract.definitions import DEFINITIONS
from tests.e2e.contract.speaking import Speaker, when_ready
from tests.support.children import Children, StartSidecar


@pytest.fixture(scope="session")
def contract_sidecar(
    shared_children: Children, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """The sidecar; every test empties the Redis behind it."""
    path = tmp_path_factory.mktemp("contract") / "definitions.yaml"
    path.write_text(json.dumps({"definitions": DEFINITIONS}))
    start = StartSidecar(shared_children)
    return when_ready(start(redis_url=redis_server.url, definitions=path, wait=False))


@pytest.fixture
def front(contract_sidecar: SidecarProcess, redis_url: str) -> SidecarProcess:
    """The sidecar before an empty Redis."""
    assert contract_sidecar.running, f"the sidecar has ended, and Redis at {redis_url} is up"
    return contract_sidecar


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def speaker(request: pytest.FixtureRequest, front: SidecarProcess) -> Iterator[Speaker]:
    """Somebody who speaks to the sidecar, in each protocol."""
    speaker = Speaker(front.port, request.param)
    yield speaker
    speaker.close()


@pytest.fixture
def other(front: SidecarProcess) -> Iterator[Speaker]:
    """Another client."""
    speaker = Speaker(front.port, 3)
    yield speaker
    speaker.close()


@pytest.fixture
def behind(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis behind the sidecar."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
