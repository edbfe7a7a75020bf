"""The program of the long run, as a process, for a moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.requirements import missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def linux() -> None:
    """The gauges read /proc."""
    if sys.platform != "linux":
        missing("the gauges of a process are read from /proc, which only Linux has")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.hostile", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90
    )


def test_streams_are_thrown_and_counted() -> None:
    """A run without a finding says what it did and ends with 0."""
    ended = run("--seconds", "1", "--seed", "1", "--attack", "none")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "seeds 1 to " in ended.stdout
    assert "findings: 0" in ended.stdout


def test_one_attack_can_be_named() -> None:
    """A named attack is carried out alone, and its numbers are printed."""
    ended = run("--attack", "deep JSON", "--no-streams")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "connections of the attacks: 50" in ended.stdout
    assert "longest wait of the witness" in ended.stdout
