"""A progress bar on standard error, where that is a terminal; otherwise nothing is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from sidecar.transfer.progress import Progress, Silent

_DRAWN_BYTES = 16_384
"""Bytes that are gathered for one step of the bar, which costs more than reading a line."""

KEY_WIDTH = 32
"""Characters shown of a memory's key."""


@contextmanager
def progress_of(unit: Literal["memories", "bytes"], total: int | None) -> Iterator[Progress]:
    """Show how far an export or import is, in memories or in bytes of the input; None: nobody knows the total."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Silent()
        return
    amount: ProgressColumn = MofNCompleteColumn() if unit == "memories" else DownloadColumn()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        amount,
        TextColumn("{task.fields[messages]:,} messages"),
    )
    with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bars:
        yield Shown(bars, unit, total)


class Shown:
    """The bar; `Bars` draws it from a thread of its own, ten times a second."""

    def __init__(self, bars: Bars, unit: str, total: int | None) -> None:
        self._bars = bars
        self._counts_memories = unit == "memories"
        self._messages = 0
        self._begun: str | None = None
        self._bytes = 0
        self._task = bars.add_task("", total=total, messages=0)

    def memory(self, key: str, messages: int | None) -> None:
        """See `Progress`."""
        if self._counts_memories and self._begun not in (None, key):
            self._bars.advance(self._task)
        self._begun = key
        of = "" if messages is None else f" ({messages:,})"
        shown = key if len(key) <= KEY_WIDTH else f"{key[: KEY_WIDTH - 1]}…"
        self._bars.update(self._task, description=f"{shown}{of}")

    def messages(self, count: int) -> None:
        """See `Progress`."""
        self._messages += count
        if count > 1 or not self._messages % 100:  # a change of the bar costs more than a message
            self._bars.update(self._task, messages=self._messages)

    def read(self, size: int) -> None:
        """See `Progress`."""
        self._bytes += size
        if not self._counts_memories and self._bytes > _DRAWN_BYTES:
            self._bars.advance(self._task, self._bytes)
            self._bytes = 0
