"""When memories that were started lately may be started again: a pure schedule, with the time passed in.

Used by the dispatcher. A memory keeps its mark until its flush is over, and each sweep finds the mark again. Where a
start only joined a run that waits or works, another one soon would only join it, too; so the rest doubles each time.
A mark that was set just now is the end of that: the run before it is over.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Rests(Generic[T]):
    """Who rests until when.

    Args:
        rest_s: least seconds between two starts.
        longest_rest_s: the rest grows no further.
        most: how many are remembered; beyond it the one whose rest ends first is forgotten.
    """

    def __init__(self, *, rest_s: float, longest_rest_s: float, most: int) -> None:
        self._rest_s = rest_s
        self._longest_rest_s = longest_rest_s
        self._most = most
        self._until: dict[T, float] = {}
        self._since: dict[T, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()

    def begin(self, who: T, now: float, joins: int) -> T | None:
        """Let somebody rest from `now`, after so many starts in a row that only joined.

        Returns:
            Who is forgotten for it, or None.
        """
        forgotten = None
        if len(self._until) >= self._most and who not in self._until:
            forgotten = self._next()
            if forgotten is not None:
                self._drop(forgotten)
        self._since[who] = now
        # Bounded before it is raised: joins may be many.
        self._end(who, now + min(self._rest_s * 2 ** min(joins, 16), self._longest_rest_s))
        return forgotten

    def cut(self, who: T) -> None:
        """Let somebody who rests only rest as long as after a start that joined nothing."""
        if who in self._until:
            self._end(who, min(self._until[who], self._since[who] + self._rest_s))

    def next_end(self) -> float | None:
        """Return when the next rest ends; None if nobody rests."""
        who = self._next()
        return None if who is None else self._until[who]

    def pop(self, now: float) -> T | None:
        """End the next rest that is over at `now`, and return whose it was; None if there is none."""
        who = self._next()
        if who is None or self._until[who] > now:
            return None
        self._drop(who)
        return who

    def _end(self, who: T, until: float) -> None:
        self._until[who] = until
        heapq.heappush(self._heap, (until, next(self._numbers), who))

    def _next(self) -> T | None:
        """Return whose rest ends first; entries that no longer hold are dropped on the way."""
        while self._heap:
            until, _, who = self._heap[0]
            if self._until.get(who) == until:
                return who
            heapq.heappop(self._heap)
        return None

    def _drop(self, who: T) -> None:
        del self._until[who], self._since[who]
