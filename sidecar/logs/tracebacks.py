"""Tracebacks without the texts of exceptions: these quote what they fail on, a message or a password among it.

What is shown is written in sources: file, line, function and source line of each frame, and the type. Of errors of the
operating system its own words are shown too, by their number. Causes, contexts and groups stand as Python shows them.
Values of variables are not shown, nor are notes.
"""

from __future__ import annotations

import os
import ssl
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from structlog.typing import EventDict

MOST_FRAMES = 50
"""Of one exception, those next to where it was raised: a recursion without end has a thousand."""

MOST_EXCEPTIONS = 20
"""Of one line: causes, contexts and members of groups together."""

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_LEFT_OUT = "(more exceptions are left out)"


def render_exception(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put the traceback of `exc_info` into `exception`: a processor of structlog."""
    told = event.pop("exc_info", None)
    problem = _exception(told)
    if problem is not None:
        event["exception"] = traceback_of(problem)
    return event


def traceback_of(problem: BaseException) -> str:
    """Return the traceback of an exception, and of what led to it, without any of their texts."""
    return "\n".join(_Rendering().lines(problem))


def told_type(problem: BaseException) -> str:
    """Return the qualified name of an exception's type, with the system's words for an error of the system."""
    kind = type(problem)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # Its own text holds more than that: file names, addresses, whatever it was made of. TLS has numbers of its own.
    if isinstance(problem, OSError) and not isinstance(problem, ssl.SSLError) and (problem.errno or 0) > 0:
        return f"{name}: {os.strerror(problem.errno or 0)}"
    return name


def _exception(told: object) -> BaseException | None:
    if told is True:
        return sys.exc_info()[1]
    if isinstance(told, tuple):
        told = told[1]
    return told if isinstance(told, BaseException) else None


class _Rendering:
    """The lines of one traceback. Each exception is shown once, however often it is met."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def lines(self, problem: BaseException) -> Iterator[str]:
        if id(problem) in self._seen:
            return
        if len(self._seen) == MOST_EXCEPTIONS:
            yield _LEFT_OUT
            return
        self._seen.add(id(problem))
        before, link = problem.__cause__, _CAUSE
        if before is None and not problem.__suppress_context__:
            before, link = problem.__context__, _CONTEXT
        if before is not None and id(before) not in self._seen:
            yield from self.lines(before)
            yield from ("", link, "")
        yield from _frames(problem.__traceback__)
        yield told_type(problem)
        if isinstance(problem, BaseExceptionGroup):
            for number, each in enumerate(problem.exceptions, 1):
                yield f"  +---------------- {number} ----------------"
                yield from (f"  | {line}" for line in self.lines(each))


def _frames(begin: TracebackType | None) -> Iterator[str]:
    if begin is None:
        return
    yield "Traceback (most recent call last):"
    summary = traceback.StackSummary.extract(traceback.walk_tb(begin), limit=-MOST_FRAMES)
    for part in summary.format():
        yield from part.rstrip("\n").split("\n")
