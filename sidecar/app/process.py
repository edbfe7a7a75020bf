"""What every process of ours does alike: hears the signals to stop, calms the garbage collector, favours its event
loop, ends its tasks."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Collection
from contextlib import suppress

GC_THRESHOLDS = (50_000, 20, 100)
"""Young objects before a search (CPython: 700), and how many searches until one looks at older ones."""

SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter when another one wants it (CPython: 5 ms)."""

CANCEL_AGAIN_S = 0.2
"""A cancelled task ends within milliseconds, unless the cancellation was swallowed."""


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def calm_the_garbage_collector() -> None:
    """Look for cycles rarely: a command makes many objects and no cycle, and the search took a tenth of an append.

    What exists now lives as long as the process, so it is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def give_freed_memory_back() -> None:
    """Return to the system what loading modules and vocabularies has left free: 5 to 9 MB, which would lie there for
    good. Only glibc has a call for that; elsewhere nothing happens.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def favour_the_event_loop() -> None:
    """Let the loop have the interpreter sooner while a thread summarises or counts a large text.

    The loop asks for it after every wait for a socket, two or three times per command, and each time it waited for the
    5 ms of such a thread: an append took ten times as long as without a flush. The thread loses some per cent.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, through which redis-py sends every command, can swallow a
    cancellation (python/cpython#86296), and the task would run on for ever.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
