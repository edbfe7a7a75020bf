"""Keeps calls away from an engine that does not answer, and finds out when it is back.

Used by the dispatcher. After a failure all further calls wait; one at a time goes through as a probe, after a
pause that doubles with each failed probe. The first success lets all of them go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sidecar.errors import EngineUnavailable

T = TypeVar("T")


class Breaker:
    """Passes calls on.

    Args:
        first_pause_s: pause after the first failure.
        longest_pause_s: the pause grows no further. Each is cut by up to half at random, so that many
            processes do not come back at the same moment.

    Attributes:
        pause_s: before the next probe, in seconds; 0 while the engine answers.
    """

    def __init__(self, *, first_pause_s: float, longest_pause_s: float) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self.pause_s = 0.0
        self._probe = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self.pause_s > 0

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` returns, as soon as it may be called.

        Raises:
            EngineUnavailable: the call did not get through; the others wait now.
        """
        while self.is_open:
            async with self._probe:
                # Meanwhile the probe before this one may have succeeded.
                if self.is_open:
                    await asyncio.sleep(self.pause_s * random.uniform(0.5, 1.0))
                    return await self._attempt(make)
        return await self._attempt(make)

    async def _attempt(self, make: Callable[[], Awaitable[T]]) -> T:
        pause_s = self.pause_s
        try:
            result = await make()
        except EngineUnavailable:
            # Calls that were under way together fail together, and count as one failure.
            if self.pause_s == pause_s:
                self.pause_s = min(max(self._first_pause_s, 2 * pause_s), self._longest_pause_s)
            raise
        self.pause_s = 0.0
        return result
