"""When gigatoken has grown so far that it must be built anew.

gigatoken 0.10 remembers every distinct word it has ever split and never forgets one. Over 320 MB of
documentation that is 30 MB, over 55 MB of source code 13 MB; but 40 MB of base64 make 120 MB and a sender of
invented words 12 to 20 bytes per byte, without end. Nothing tells its size, so the counterpart here is the
resident size of the process. The bound is therefore a coarse one, of the whole process, and errs by building
anew once too often.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

GROWTH_LIMIT_BYTES = 64 * 1024 * 1024
"""Growth after which gigatoken is built anew. Ordinary text stays below half of it for days; building holds
the interpreter for about 0.25 s, so the limit must not be near what ordinary text needs."""

LEAST_CHARS_BETWEEN = 1024 * 1024
"""Text between two builds, whatever the process does: 64 MiB cannot come from fewer characters of text
(worst measured: 3.6 million), so before that somebody else has grown. It also bounds what a hostile sender
can spend on builds."""

CHARS_BETWEEN_LOOKS = 256 * 1024
"""Text between two looks at the process's size, which cost 25 µs: 0.06 µs per 620 characters."""

CHARS_WITHOUT_LOOKING = 16 * LEAST_CHARS_BETWEEN
"""Text between two builds where the system does not tell the size (macOS): 16 MiB of text are at most 320 MB
in theory and 7 MB in practice."""

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return the resident size of this process; None where the system has no `/proc`."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


class Growth:
    """What one build of gigatoken has seen, and whether that is enough.

    Args:
        resident: returns the size to watch, in bytes, or None if it cannot be told.
        limit: growth of that size that makes a build due, in bytes.
    """

    __slots__ = ("_chars", "_limit", "_resident", "_start")

    def __init__(self, *, resident: Callable[[], int | None] = resident_bytes, limit: int = GROWTH_LIMIT_BYTES) -> None:
        self._resident = resident
        self._limit = limit
        self.restart()

    def restart(self) -> None:
        """A new build has been made."""
        self._chars = 0
        self._start = self._resident()

    def due(self, chars: int) -> bool:
        """Whether to build anew, after `chars` more characters of text."""
        self._chars += chars
        now = self._resident()
        if now is None or self._start is None:
            return self._chars >= CHARS_WITHOUT_LOOKING
        # The build may have fallen into a moment when others held much; their release must not hide what
        # grows here.
        self._start = min(self._start, now)
        return self._chars >= LEAST_CHARS_BETWEEN and now - self._start >= self._limit
