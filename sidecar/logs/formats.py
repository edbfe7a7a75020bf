"""How a line looks, and the set-up of a process: JSON for machines, or a line for people."""

from __future__ import annotations

import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor

from sidecar.logs.levels import Level, drop_below, set_level
from sidecar.logs.libraries import route_everything
from sidecar.logs.tracebacks import render_exception

Format = Literal["auto", "json", "console"]
"""`auto` is `console` where standard error is a terminal, and `json` elsewhere."""


def set_up_logs(level: Level, log_format: Format = "auto", **always: object) -> None:
    """Send what this process has to say to standard error, a line each, in one piece.

    Args:
        level: the least severe level that is written, until `set_level`.
        log_format: how.
        always: what every line tells besides, such as which of several processes writes it.
    """

    def add_always(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**event, **always}

    on_terminal = sys.stderr.isatty()
    renderer: Processor = structlog.processors.JSONRenderer()
    if log_format == "console" or (log_format == "auto" and on_terminal):
        renderer = structlog.dev.ConsoleRenderer(colors=on_terminal)
    structlog.configure(
        processors=[
            drop_below,
            structlog.contextvars.merge_contextvars,
            add_always,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render_exception,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        # A line is written in one piece: several processes may share our standard error.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    set_level(level)
    route_everything()
