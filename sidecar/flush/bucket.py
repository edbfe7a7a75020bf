"""`Bucket`: lets so many calls through each second, and a burst of them at once after a quiet time.

Used by the dispatcher, before its breaker: what waits here waits in front of a healthy engine. It keeps one number and
no queue; who waits is bounded by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic


class Bucket:
    """A token bucket.

    Args:
        per_s: calls per second in the long run.
        burst: most calls at once after a quiet time.
        clock: seconds that only grow.
    """

    def __init__(self, *, per_s: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def take(self) -> float:
        """Take one token, which may be one that is not there yet, and return the seconds until it is."""
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._per_s)
        self._filled = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)

    async def wait(self) -> None:
        """Wait for a token. Each caller waits for one of its own, in the order in which they came."""
        if seconds := self.take():
            await asyncio.sleep(seconds)
