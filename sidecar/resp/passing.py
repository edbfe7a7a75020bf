"""Steps over whole requests that are Redis's and that nobody need look at: the loop that every forwarded byte sees.

`requests.RequestFramer` could do it too, one step at a time and in every case; nearly all forwarded traffic takes this
way. Where a C compiler was at hand when memsidecar was installed, `_passing.c` does the same at a twentieth of the
cost; the function in Python is what both of them mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

START = re.compile(rb"\*([1-9]\d{0,9})\r\n\$(0|[1-9]\d{0,17})\r\n")
"""A request's count and the length of its name."""

BULK = re.compile(rb"\$(0|[1-9]\d{0,17})\r\n")
"""The length of an argument. With one digit more, a position in the data would overflow."""

LONGEST_WATCHED_NAME = 16
"""Longer names are not looked at."""


def pass_whole_in_python(data: bytes, position: int, watched: frozenset[bytes]) -> int:
    """Return where the first request begins that is watched, odd, or not whole; the end of `data` if there is none.

    Args:
        data: bytes of a client.
        position: where in them a request begins.
        watched: names in upper case.
    """
    end = len(data)
    while True:
        match = START.match(data, position)
        if match is None:
            return position
        after = match.end()
        length = int(match[2])
        if length <= LONGEST_WATCHED_NAME and data[after : after + length].upper() in watched:
            return position
        after += length + 2
        for _ in range(int(match[1]) - 1):
            match = BULK.match(data, after)
            if match is None:
                return position
            after = match.end() + int(match[1]) + 2
        if after >= end:
            return after if after == end else position
        position = after


PassWhole = Callable[[bytes, int, frozenset[bytes]], int]


def _maybe_compiled() -> PassWhole | None:
    try:
        compiled: PassWhole = import_module("sidecar.resp._passing").pass_whole
    except ImportError:
        return None
    return compiled


pass_whole_compiled = _maybe_compiled()
"""None where it could not be compiled."""

pass_whole = pass_whole_compiled or pass_whole_in_python
