"""How late the event loop is: everything that clients, Redis and probes wait for waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

LOOK_S = 0.25
"""Between two looks: four wake-ups a second are less than a ten-thousandth of a core."""


async def watch_loop_lag(observe: Callable[[float], None], look_s: float = LOOK_S) -> None:
    """Report, until cancelled, by how many seconds a timer was late, each time."""
    while True:
        due = monotonic() + look_s
        await asyncio.sleep(look_s)
        # uvloop counts milliseconds and may be up to one early.
        observe(max(0.0, monotonic() - due))
