"""Drivers in processes of their own, heard and ended."""

from __future__ import annotations

import dataclasses
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks.peers.books import Account
from benchmarks.peers.catalogue import ENVIRONMENTS
from benchmarks.peers.crew import Crew, PeerFailed, PeerMissing
from benchmarks.peers.work import AppendMeter, Reading, ReadMeter
from tests.benchmarks.peers.careless import SLOW_S
from tests.benchmarks.peers.crews import careless, opened


@pytest.mark.parametrize("flaws", [(), ("--asyncio",), ("chatter",)])
def test_appends_are_measured_and_counted(redis_url: str, tmp_path: Path, flaws: tuple[str, ...]) -> None:
    """Blocking or awaited, and whatever a library prints: every append has its time, and all are found again."""
    with Crew(careless(*flaws), 2) as crew:
        assert crew.versions == {"redis": version("redis")}
        accounts: list[Account] = []
        meter = AppendMeter(opened(crew, redis_url, tmp_path), {}, accounts)
        sample = meter.measure(seconds=0.1, warm_up_s=0.05)
    (account,) = accounts
    assert account.right
    assert account.acknowledged == account.stored > sample.requests > 0
    assert sample.seconds > 0.05
    assert sample.p50_ms is not None
    assert sample.p99_ms is not None
    assert 0 < sample.p50_ms <= sample.p99_ms < 1000 * sample.seconds
    assert sample.cpu_s["generator"] > 0


@pytest.mark.parametrize(("flaw", "field"), [("lose", "lost"), ("double", "duplicated"), ("swap", "misplaced")])
def test_a_careless_memory_is_found_out(redis_url: str, tmp_path: Path, flaw: str, field: str) -> None:
    """What a memory loses, doubles or puts out of order is counted, and nothing else."""
    with Crew(careless(flaw), 1) as crew:
        accounts: list[Account] = []
        meter = AppendMeter(opened(crew, redis_url, tmp_path), {}, accounts)
        for seconds in (0.05, 0.5, 5.0):  # until enough was done to find a fault in
            meter.measure(seconds=seconds, warm_up_s=0.0)
            account = accounts[-1]
            if account.acknowledged >= 10:
                break
    assert getattr(account, field) == account.acknowledged // 10 > 0
    faults = (account.lost, account.duplicated, account.misplaced, account.unexpected)
    assert sum(faults) == getattr(account, field)


def test_a_window_lasts_until_something_was_done(redis_url: str, tmp_path: Path) -> None:
    """An append that takes longer than the window is measured in full."""
    with Crew(careless("slow"), 1) as crew:
        meter = AppendMeter(opened(crew, redis_url, tmp_path), {}, [])
        sample = meter.measure(seconds=SLOW_S / 10, warm_up_s=0.0)
    assert sample.requests == 1
    assert sample.seconds >= SLOW_S
    assert sample.p50_ms is not None
    assert sample.p50_ms >= 1000 * SLOW_S


def test_what_a_library_raises_is_told(redis_url: str, tmp_path: Path) -> None:
    """An error of the library ends the measurement, under its own name; the driver goes on."""
    with Crew(careless("refuse"), 1) as crew:
        meter = AppendMeter(opened(crew, redis_url, tmp_path), {}, [])
        with pytest.raises(PeerFailed, match="Careless: ValueError: the memory is full"):
            meter.measure(seconds=0.01, warm_up_s=0.0)
        assert crew.contents() == []


def test_a_driver_that_ends_is_told(redis_url: str, tmp_path: Path) -> None:
    """Its last words are in the error."""
    with Crew(careless("leave"), 1) as crew:
        meter = AppendMeter(opened(crew, redis_url, tmp_path), {}, [])
        with pytest.raises(PeerFailed, match=r"(?s)Careless has ended.*the cable was pulled"):
            meter.measure(seconds=0.01, warm_up_s=0.0)


def test_reads_must_return_the_newest(redis_url: str, tmp_path: Path) -> None:
    """A memory that returns all messages passes; one that leaves the newest out does not."""
    with Crew(careless(), 1) as right, Crew(careless("old"), 1) as wrong:
        opened(right, redis_url, tmp_path).fill(1_000)
        readings: list[Reading] = []
        ReadMeter(right, {}, readings).measure(seconds=0.02, warm_up_s=0.0)
        assert readings[0].messages == 1_000
        assert readings[0].tokens > 8_000
        opened(wrong, redis_url, tmp_path)
        with pytest.raises(PeerFailed, match="999 messages that are not the newest of 1000"):
            ReadMeter(wrong, {}, []).measure(seconds=0.02, warm_up_s=0.0)


def test_a_read_over_the_budget_fails(redis_url: str, tmp_path: Path) -> None:
    """Who is said to cut reads to a budget, and returns everything, is found out."""
    with Crew(dataclasses.replace(careless(), cut=True), 1) as crew:
        opened(crew, redis_url, tmp_path).fill(1_000)
        with pytest.raises(PeerFailed, match="tokens, more than 8000"):
            ReadMeter(crew, {}, []).measure(seconds=0.02, warm_up_s=0.0)


def test_a_peer_that_is_not_installed_is_named() -> None:
    """The error says what to run."""
    absent = dataclasses.replace(careless(), environment="nobody-made-this")
    assert absent.python == ENVIRONMENTS / "nobody-made-this" / "bin" / "python"
    with pytest.raises(PeerMissing, match=r"Careless is not installed: .*nobody-made-this.*make bench-peers"):
        Crew(absent, 1).__enter__()


def test_a_crew_leaves_no_process(redis_url: str, tmp_path: Path) -> None:
    """Closing ends a driver, also in the middle of its work."""
    with Crew(careless(), 1) as crew:
        opened(crew, redis_url, tmp_path)
        (process,) = (driver._process for driver in crew._drivers)
        now = time.monotonic()
        crew.begin("append", begin=now, until=now + 0.2)
    assert process.returncode is not None
