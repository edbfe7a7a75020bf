"""Every attack on a real sidecar, at a size for CI. `python -m tests.hostile` carries them out at full size."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.arena import Arena, set_up
from tests.hostile.attacks import ATTACKS, Attack
from tests.hostile.gauges import Gauges, allow_open_files
from tests.support.children import Children, StartRedis, StartSidecar
from tests.support.requirements import missing


@pytest.fixture(scope="module")
def arena(redis_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """One Redis full of what attackers ask for."""
    if sys.platform != "linux":
        missing("the gauges of a process are read from /proc, which only Linux has")
    allow_open_files()
    children = Children()
    directory = tmp_path_factory.mktemp("arena")
    try:
        yield set_up(StartRedis(children, directory, redis_program), StartSidecar(children), directory)
    finally:
        children.stop_all()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(arena: Arena, attack: Attack) -> None:
    """Memory stays within its bound, a witness is served throughout, and everything is given back."""
    outcome = arena.perform(attack, attack.clients[0])
    assert not outcome.problems, f"{outcome}\n" + "\n".join(outcome.problems)
    assert outcome.requests >= outcome.clients


def test_the_gauges_see_memory_and_files(tmp_path: Path) -> None:
    """What a process takes shows, and its peak can be forgotten."""
    gauges = Gauges(os.getpid())
    files, before = gauges.files, gauges.memory_bytes
    held = bytearray(64 * 1024 * 1024)
    with (tmp_path / "file").open("w"):
        assert gauges.files == files + 1
        assert gauges.memory_bytes > before + len(held) // 2
    del held
    assert gauges.peak_bytes > before + 32 * 1024 * 1024
    gauges.forget_peak()
    assert gauges.peak_bytes < before + 32 * 1024 * 1024
