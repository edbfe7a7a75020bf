"""Distributed traces: what a MEM command, and the flush that it leads to, tell of themselves.

A trace is always a client's: with TRACEPARENT it names a span of its own, and what is done for it becomes spans below
that one. Nothing here begins a trace, so what no client traces costs nothing. A span is named by a `traceparent`, the
header of W3C Trace Context, which is plain text and may wait on Temporal.

`Untraced` is there when tracing is off; `sidecar.tracing` records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Fact = str | int
"""What a span may be told. Never a text, a key, an instance or a user."""


def in_trace(context: str) -> dict[str, str]:
    """Return what a log line says of a trace: its id, from the `traceparent` of a span in it; nothing for ""."""
    return {"trace": context.split("-")[1]} if context else {}


class Span(Protocol):
    """Something that is being done."""

    @property
    def context(self) -> str:
        """The `traceparent` that names this span: the parent of what is done for it."""
        ...

    def end(self, error: str | None, facts: Mapping[str, Fact]) -> None:
        """It is done; `error` is a word on what went wrong, or None."""
        ...


class Tracer(Protocol):
    """Records spans."""

    def command(self, name: str, parent: str) -> Span:
        """Begin the span of a MEM command; the caller ends it."""
        ...

    def step(self, name: str, parent: str, facts: Mapping[str, Fact]) -> AbstractContextManager[dict[str, Fact]]:
        """Record a step of a flush, with what is put into the dict meanwhile. "" for `parent`: of no trace."""
        ...


class _Named:
    """A span that is not recorded: what is done for it is done for its parent."""

    __slots__ = ("context",)

    def __init__(self, context: str) -> None:
        self.context = context

    def end(self, error: str | None, facts: Mapping[str, Fact]) -> None:
        """Nothing is recorded."""


class Untraced:
    """Records nothing, and passes the client's context on: to the log, and to workers, which may record theirs."""

    def command(self, name: str, parent: str) -> Span:
        """Return what stands for the client's own span."""
        return _Named(parent)

    @contextmanager
    def step(self, name: str, parent: str, facts: Mapping[str, Fact]) -> Iterator[dict[str, Fact]]:
        """Record nothing."""
        yield {}
