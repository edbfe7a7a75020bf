"""Redis's own tools work through the sidecar."""

from __future__ import annotations

import subprocess

import pytest
import redis

from sidecar.dev.binaries import find_redis_server
from sidecar.dev.servers import SidecarProcess
from tests.support.requirements import require_program


@pytest.mark.redis_tools
@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark_runs_through_the_sidecar(redis_url: str, plain_sidecar: SidecarProcess, pipeline: int) -> None:
    """50 connections of SET, GET and RPUSH get all their replies, plain and pipelined, and so do MEMAPPENDs."""
    program = require_program("redis-benchmark")
    common = [str(program), "-p", str(plain_sidecar.port), "-P", str(pipeline), "-c", "50", "-n", "2000", "--csv"]
    forwarded = subprocess.run(
        [*common, "-t", "set,get,rpush"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert all(f'"{name}' in forwarded for name in ("SET", "GET", "RPUSH"))
    appended = [*common, "-r", "100", "MEMAPPEND", "load:__rand_int__", "user", "hello"]
    subprocess.run(appended, capture_output=True, timeout=60, check=True)
    with redis.Redis.from_url(redis_url) as client:
        assert sum(client.xlen(key) for key in client.scan_iter("mem:log:*")) == 2000


def test_redis_cli_reads_commands_from_a_file(plain_sidecar: SidecarProcess) -> None:
    """redis-cli fed from standard input gets its replies in order, MEM commands and others mixed, in RESP3 too."""
    program = find_redis_server().with_name("redis-cli")
    script = "INCR n\nMEMAPPEND k user hello\nINCR n\nMEMCOUNT hello\nINCR n\n"
    for options in ([], ["-3"]):
        done = subprocess.run(
            [program, "-p", str(plain_sidecar.port), *options],
            input=script,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        numbers = [line for line in done.stdout.splitlines() if line.strip().isdigit()]
        assert [numbers[0], numbers[-1]] in (["1", "3"], ["4", "6"])
