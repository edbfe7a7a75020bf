"""The terminal of `memsidecar dev`: the banner, the children's lines with their names, and problems.

Lines come from several threads; each is printed whole. A terminal that is gone (closed window, `| head`) is
reported once and never an error: the run has to stop its children in any case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from sidecar.dev import banner

COLOURS = {"sidecar": "cyan", "worker": "magenta", "temporal": "green", "redis": "red"}
"""Of the name in front of a child's line."""

NAME_WIDTH = max(map(len, COLOURS))


class _Terminal(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Pass on the error that rich is handling: its own way is to end the thread that prints."""
        raise


class Screen:
    """Prints to standard output, problems to standard error."""

    def __init__(self) -> None:
        self._out = _Terminal(highlight=False)
        self._err = _Terminal(stderr=True, highlight=False)
        self._lost = False
        self.on_lost: Callable[[], None] = lambda: None

    def line(self, name: str, text: str) -> None:
        """Show one line that the child called `name` has printed."""
        prefix = Text(f"{name:<{NAME_WIDTH}} | ", style=COLOURS.get(name, ""))
        self._print(self._out, prefix.append(text, style="default"))

    def say(self, text: str) -> None:
        """Show a sentence of our own."""
        self._print(self._out, Text(text, style="bold"))

    def problem(self, text: str) -> None:
        """Show what went wrong; its first line stands out."""
        first, newline, rest = text.partition("\n")
        shown = Text("memsidecar dev: " + first, style="bold red").append(newline + rest, style="default")
        self._print(self._err, shown)

    def banner(self, rows: Sequence[tuple[str, str]], notes: Sequence[str], paste: Sequence[str]) -> None:
        """Show what runs where, what is unusual about it, and what to try."""
        text = Text("\n").append(banner.title() + "\n\n", style="bold")
        for name, place in rows:
            text.append(f"  {name:<9} ", style="bold").append(place + "\n")
        for note in notes:
            text.append(f"\n  {note}\n", style="yellow")
        text.append("\n  Try:\n", style="bold")
        for line in paste:
            text.append(f"    {line}\n")
        self._print(self._out, text)

    def _print(self, console: Console, text: Text) -> None:
        if self._lost:
            return
        try:
            # Soft wrap: without it, a pipe counts as 80 columns and addresses are cut in two.
            console.print(text, soft_wrap=True)
        except OSError:
            self._lost = True
            # What is still in the buffer would raise the same error again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.on_lost()
