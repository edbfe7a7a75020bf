"""From which severity on lines are written: held in one place, so that it can change while the process runs.

Every line asks for it, whoever holds the logger and since when. structlog's own filter would be fixed in each logger
that was bound before.
"""

from __future__ import annotations

import logging
from typing import Literal

import structlog
from structlog.typing import EventDict

Level = Literal["debug", "info", "warning", "error"]

NUMBERS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class _InForce:
    """The level that is in force in this process."""

    def __init__(self) -> None:
        self.name: Level = "info"
        self.number = NUMBERS[self.name]


_in_force = _InForce()


def level_in_force() -> Level:
    """Return the least severe level that is written."""
    return _in_force.name


def set_level(level: Level) -> None:
    """Write lines of `level` and above from now on; those of libraries from `warning` on, unless it is `debug`."""
    _in_force.name, _in_force.number = level, NUMBERS[level]
    logging.getLogger().setLevel(NUMBERS[level] if level == "debug" else max(NUMBERS[level], logging.WARNING))


def drop_below(_logger: object, method: str, event: EventDict) -> EventDict:
    """Drop a line below the level in force: a processor of structlog, the first one.

    Raises:
        structlog.DropEvent: to that end.
    """
    if NUMBERS.get(method, logging.CRITICAL) < _in_force.number:
        raise structlog.DropEvent
    return event
