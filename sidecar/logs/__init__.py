"""Structured logs on standard error: what is set up once in a process, and the level, which may change while it runs.

Never one line per command. What a line may hold: names of events and facts that its caller chose; never a text of
somebody else's, so neither that of an exception (`tracebacks`) nor what a library formats into its lines (`libraries`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let imports of a module that is not loaded yet fail meanwhile."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment] # so the import system marks what is not to be found
    try:
        yield
    finally:
        del sys.modules[module]


with _without("rich"):  # structlog would load it, 5 MB and 0.15 s, for a way to show tracebacks that is not ours
    import structlog  # noqa: F401

from sidecar.logs.formats import Format, set_up_logs  # noqa: E402 - these import structlog
from sidecar.logs.levels import Level, level_in_force, set_level  # noqa: E402
from sidecar.logs.libraries import watch_event_loop  # noqa: E402

__all__ = ["Format", "Level", "level_in_force", "set_level", "set_up_logs", "watch_event_loop"]
