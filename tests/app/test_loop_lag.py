"""A loop that is kept busy is seen to be late."""

from __future__ import annotations

import asyncio
import time

from sidecar.app.loop_lag import watch_loop_lag
from sidecar.app.process import end
from tests.support.waiting import eventually


async def test_a_busy_loop_is_late() -> None:
    """What keeps the loop for a fifth of a second delays a timer of a hundredth by most of it."""
    seen: list[float] = []
    watching = asyncio.create_task(watch_loop_lag(seen.append, look_s=0.01))
    await eventually(lambda: seen)
    assert min(seen) >= 0
    before = len(seen)
    time.sleep(0.2)  # noqa: ASYNC251 # that it blocks is the point
    await eventually(lambda: len(seen) > before)
    assert max(seen[before:]) >= 0.15
    await end([watching])
