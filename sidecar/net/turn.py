"""The end of a turn of the event loop, where what a turn has gathered leaves together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turn:
    """Calls back once, behind everything else that the loop has to do in this turn.

    Replies that come from Redis in one read are for many clients. A write each time one is ready wakes the client's
    process between two of them: on two cores that was a third of what an append cost. Here all are made first and
    written then.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this at the end of the turn; calls are made in the order in which they came."""
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting.append(call)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
