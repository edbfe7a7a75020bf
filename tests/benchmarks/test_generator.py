"""The load generator's process."""

from __future__ import annotations

import pytest

from benchmarks.client import LoadFailed
from benchmarks.generator import Generator
from benchmarks.load import Load, pack
from sidecar.dev.servers import RedisServer


def test_it_survives_a_failed_load(redis_url: str, redis_server: RedisServer) -> None:
    """What goes wrong there is raised here, and the next load is measured."""
    with Generator() as generator:
        with pytest.raises(LoadFailed, match="unknown command"):
            generator.measure(Load(redis_server.port, 1, [[pack("NONSENSE")]]), seconds=0.05, warm_up_s=0)
        sample = generator.measure(Load(redis_server.port, 1, [[pack("PING")]]), seconds=0.05, warm_up_s=0)
        assert sample.requests > 0
