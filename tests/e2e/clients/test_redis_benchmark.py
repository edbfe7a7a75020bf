"""redis-benchmark finishes through the sidecar, and Redis has served exactly what it asked for."""

from __future__ import annotations

import csv
import subprocess

import pytest
import redis

from sidecar.dev.servers import SidecarProcess
from tests.support.requirements import require_program

REQUESTS = 8_000
"""Per test: a multiple of connections and pipelines, so that the last round is a whole one."""

TESTS = ("set", "get", "incr", "rpush", "lpop", "sadd", "spop", "hset", "zadd", "mset")
"""redis-benchmark's names of the tests, which are those of the commands that Redis counts."""


@pytest.mark.redis_tools
@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_serves_as_many_requests_as_were_asked_for(
    front: SidecarProcess, behind: redis.Redis, pipeline: int
) -> None:
    """Ten tests at 50 connections, plain and pipelined, run to their end; no request is lost or sent twice."""
    program = require_program("redis-benchmark")
    before = _calls(behind)
    command = [str(program), "-p", str(front.port), "-c", "50", "-n", str(REQUESTS), "-P", str(pipeline)]
    done = subprocess.run(
        [*command, "-t", ",".join(TESTS), "--csv"], capture_output=True, text=True, timeout=100, check=True
    )
    after = _calls(behind)
    assert done.stderr == ""
    assert len(list(csv.reader(done.stdout.splitlines()))) >= len(TESTS)
    served = {name: after[name] - before.get(name, 0) for name in TESTS}
    # Every ten seconds a sidecar looks whether Redis works: SET, GET and DEL of a key. The tool itself deletes nothing.
    looked = after.get("del", 0) - before.get("del", 0)
    assert served == dict.fromkeys(TESTS, REQUESTS) | dict.fromkeys(("set", "get"), REQUESTS + looked)


def _calls(behind: redis.Redis) -> dict[str, int]:
    """How often Redis has run each command since it started."""
    return {name.removeprefix("cmdstat_"): found["calls"] for name, found in behind.info("commandstats").items()}
