"""The three loops over RESP that every byte sees: stepping over what is Redis's, taking a request apart, packing one.

`requests.RequestFramer` could do the first two itself, one step at a time and in every case; nearly all traffic takes
these short ways. Where a C compiler was at hand when memsidecar was installed, `_wire.c` does the same at a tenth of
the cost; the functions in Python are what both of them mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import hiredis

START = re.compile(rb"\*([1-9]\d{0,9})\r\n\$(0|[1-9]\d{0,17})\r\n")
"""A request's count and the length of its name."""

BULK = re.compile(rb"\$(0|[1-9]\d{0,17})\r\n")
"""The length of an argument. With one digit more, a position in the data would overflow."""

LONGEST_WATCHED_NAME = 16
"""Longer names are not looked at."""

Word = bytes | str | int
"""What can be sent as it is."""


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


def whole_request_in_python(data: bytes, position: int, most_words: int) -> tuple[int, list[bytes]] | None:
    """Return where the request at `position` ends, and its words; None where it is odd, too long, or not whole.

    Args:
        data: bytes of a client.
        position: where in them a request begins.
        most_words: more are too long.
    """
    match = START.match(data, position)
    if match is None or int(match[1]) > most_words:
        return None
    words: list[bytes] = []
    position = match.start(2) - 1
    for _ in range(int(match[1])):
        match = BULK.match(data, position)
        if match is None:
            return None
        start = match.end()
        end = start + int(match[1])
        words.append(data[start:end])
        position = end + 2
    return (position, words) if position <= len(data) else None


def pack_in_python(words: tuple[Word, ...]) -> bytes:
    """Return a request as bytes for Redis; text goes as UTF-8.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate.
    """
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means a tuple of one item
    return packed


PassWhole = Callable[[bytes, int, frozenset[bytes]], int]
WholeRequest = Callable[[bytes, int, int], tuple[int, list[bytes]] | None]
Pack = Callable[[tuple[Word, ...]], bytes]


def _maybe_compiled() -> ModuleType | None:
    try:
        return import_module("sidecar.resp._wire")
    except ImportError:
        return None


compiled = _maybe_compiled()
"""None where it could not be compiled."""

pass_whole: PassWhole = pass_whole_in_python if compiled is None else compiled.pass_whole
whole_request: WholeRequest = whole_request_in_python if compiled is None else compiled.whole_request
pack: Pack = pack_in_python if compiled is None else compiled.pack
