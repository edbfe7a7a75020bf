"""What every process does alike: it hears signals, calms the garbage collector, favours its loop, and ends tasks."""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import signal
import sys
from pathlib import Path

import pytest

from sidecar.app.process import (
    GC_THRESHOLDS,
    SWITCH_INTERVAL_S,
    calm_the_garbage_collector,
    end,
    favour_the_event_loop,
    give_freed_memory_back,
    stop_on_signals,
)
from tests.support.waiting import eventually


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_both_signals_stop(number: signal.Signals) -> None:
    """SIGTERM, which supervisors send, and SIGINT, which a terminal sends, set the event."""
    stop = stop_on_signals()
    try:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await eventually(stop.is_set)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)


def test_the_garbage_collector_is_calmed() -> None:
    """It looks rarely, and never again at what exists already."""
    before = gc.get_threshold()
    try:
        calm_the_garbage_collector()
        assert gc.get_threshold() == GC_THRESHOLDS
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def resident_bytes() -> int:
    """Return the memory that this process holds in RAM."""
    pages = Path("/proc/self/statm").read_bytes().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a call for it")
def test_freed_memory_goes_back() -> None:
    """What was freed between objects that stay, which nobody gives back by himself, leaves the process."""
    blocks = [bytes(2_000) for _ in range(20_000)]
    stay = blocks[::500]
    del blocks
    before = resident_bytes()
    give_freed_memory_back()
    assert before - resident_bytes() > len(stay) * 499 * 2_000 / 2


def test_the_event_loop_is_favoured() -> None:
    """A thread that computes gives the interpreter up sooner than with CPython's own interval of 5 ms.

    What that is worth is a benchmark: `make bench ARGS="--scenario flush-latency"`.
    """
    before = sys.getswitchinterval()
    try:
        favour_the_event_loop()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
        assert SWITCH_INTERVAL_S < 0.005
    finally:
        sys.setswitchinterval(before)


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    """Ending tasks does not hang on one that misses the first cancellation."""
    missed = 0

    async def stubborn() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed += 1
                if missed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end([task])
    assert task.cancelled()
    assert missed == 3


async def test_tasks_that_have_ended_already() -> None:
    """Ending what has ended, well or not, is over at once and raises nothing."""

    async def fails() -> None:
        raise ValueError

    tasks = [asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(fails())]
    await asyncio.gather(*tasks, return_exceptions=True)
    await end(tasks)
    await end([])
