"""The level that is in force: for every logger, and from one line to the next."""

from __future__ import annotations

import json

from tests.logs.test_formats import written

PROGRAM = """
import logging, structlog
from sidecar.logs import level_in_force, set_level, set_up_logs
set_up_logs("warning")
log = structlog.get_logger()
bound = log.bind(address="here")
library = logging.getLogger("some.library")
for level in ("warning", "debug", "info", "error"):
    set_level(level)
    assert level_in_force() == level
    for logger in (log, bound):
        for severity in ("debug", "info", "warning", "error"):
            getattr(logger, severity)(level)
    for severity in ("debug", "info", "warning", "error"):
        getattr(library, severity)("said by a library", extra={"in_force": level})
"""

FROM = {
    "warning": ["warning", "error"],
    "debug": ["debug", "info", "warning", "error"],
    "info": ["info", "warning", "error"],
    "error": ["error"],
}


def test_a_change_holds_for_every_logger() -> None:
    """Loggers that were made before, bound ones too, write from the new level on; libraries from `warning` on, unless
    everything is wanted."""
    lines = [json.loads(line) for line in written("", program=PROGRAM)]
    for level, shown in FROM.items():
        bound = [line["level"] for line in lines if line["event"] == level and "address" in line]
        plain = [line["level"] for line in lines if line["event"] == level and "address" not in line]
        assert bound == plain == shown
    libraries = [line["level"] for line in lines if line["event"] == "library.logged"]
    assert libraries == ["warning", "error", "debug", "info", "warning", "error", "warning", "error", "error"]
