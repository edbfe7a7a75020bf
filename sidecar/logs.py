"""Set-up of structured logs: lines for people on a terminal, JSON elsewhere. Never one line per command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any


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
    import structlog


def set_up_logs(level: str, **always: object) -> None:
    """Send log lines of `level` (debug, info, warning, error) and above to standard error.

    Args:
        level: the least severe one.
        always: what every line tells besides, such as which of several processes writes it.
    """

    def add_always(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**event, **always}

    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_always,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        # Plain: the usual formatter shows local variables, and those may hold messages and passwords.
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # A line is written in one piece: several processes may share our standard error.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
