"""Counting instructions of a real server under valgrind, and what its files say."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest

from benchmarks.callgrind import (
    CountedRedis,
    CountedSidecar,
    Counting,
    CountingFailed,
    Valgrind,
    find_valgrind,
    total_of,
)
from benchmarks.load import pack
from benchmarks.lockstep import Lockstep
from sidecar.dev.ports import free_port
from sidecar.dev.problems import ProgramMissing
from sidecar.dev.servers import RedisServer
from tests.support.children import Children
from tests.support.requirements import require_program

PROFILE = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 7
cmd:  redis-server
part: 2

events: Ir

ob=(1) /usr/bin/redis-server
fl=(1) server.c
fn=(1) main
16 400
cfn=(2) call
calls=3 20
16 1200
fn=(2)
20 800

totals: 1200
"""
"""The parts of a file of callgrind that matter here: costs per line, calls, and the total."""


def test_the_total_of_a_file(tmp_path: Path) -> None:
    """It is that of the line for it, not a sum over the file, in which calls would be counted twice."""
    profile = tmp_path / "counted.1"
    profile.write_text(PROFILE, encoding="utf-8")
    assert total_of(profile) == 1_200
    profile.write_text(PROFILE.replace("totals:", "summary:"), encoding="utf-8")
    assert total_of(profile) == 1_200


def test_files_of_no_use(tmp_path: Path) -> None:
    """A file without a total, and none at all, are told apart."""
    profile = tmp_path / "counted.1"
    with pytest.raises(CountingFailed, match="did not write"):
        total_of(profile)
    profile.write_text(PROFILE.replace("totals", "tables"), encoding="utf-8")
    with pytest.raises(CountingFailed, match="no line `totals:`"):
        total_of(profile)


def test_command_lines(tmp_path: Path) -> None:
    """Each server gets a directory of its own, the sidecar a fixed hash seed and more patience, and none is counted
    before it is told to."""
    valgrind = Valgrind(Path("/opt/valgrind"), Path("/opt/vgdb"), tmp_path).apart("one")
    assert (tmp_path / "one").is_dir()
    sidecar = CountedSidecar(valgrind, port=1, http_port=2, settings={"MEMSIDECAR_PROJECT": "p"})
    command = [str(part) for part in sidecar.command()]
    assert command[:3] == ["/opt/valgrind", "--tool=callgrind", "--instr-atstart=no"]
    assert f"--callgrind-out-file={tmp_path / 'one' / 'counted'}" in command
    assert command[-2:] == ["sidecar", "serve"]
    assert sidecar.environment["PYTHONHASHSEED"] == "0"
    assert sidecar.environment["MEMSIDECAR_PROJECT"] == "p"
    assert float(sidecar.environment["MEMSIDECAR_COMMAND_TIMEOUT_S"]) > 5
    assert float(sidecar.environment["MEMSIDECAR_SWEEP_INTERVAL_S"]) > 600


def test_valgrind_is_looked_for_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="apt install valgrind"):
        find_valgrind(tmp_path)


def test_a_process_that_does_not_run_under_valgrind(tmp_path: Path, redis_server: RedisServer) -> None:
    """Who cannot be told anything is reported with vgdb's own words."""
    require_program("valgrind")
    with pytest.raises(CountingFailed, match=r"vgdb refused `instrumentation on`: .*pid"):
        Counting(redis_server, find_valgrind(tmp_path)).begin()


def test_instructions_of_a_real_redis(tmp_path: Path, children: Children) -> None:
    """The same requests cost the same within some percent, and heavier ones more; earlier files are removed."""
    require_program("valgrind")
    valgrind = find_valgrind(tmp_path).apart("redis")
    server = children.add(CountedRedis(valgrind, port=free_port(), directory=tmp_path))
    counting = Counting(server, valgrind)
    with Lockstep(server.port, connections=1) as lockstep:
        lockstep.send(cycle([pack("RPUSH", "list", *range(30))]), pipeline=1, turns=1)
        counting.begin()

        def cost(*words: str | int) -> float:
            counts = []
            for turns in (50, 150):
                lockstep.send(cycle([pack(*words)]), pipeline=10, turns=turns)
                counts.append(counting.instructions())
            return (counts[1] - counts[0]) / 1_000

        cost("PING")
        light, again, heavy = cost("PING"), cost("PING"), cost("LRANGE", "list", 0, -1)
    assert again == pytest.approx(light, rel=0.03)
    assert heavy > 3 * light > 1_000
    assert counting.profile is not None
    assert [found.name for found in (tmp_path / "redis").glob("counted.*")] == [counting.profile.name]
