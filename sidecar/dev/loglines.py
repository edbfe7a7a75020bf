"""Log lines of the sidecar and the worker, made readable for a person.

They write JSON as soon as their output is no terminal (see `sidecar.logs`), which holds for our pipes too. Lines
that are no such JSON stay as they are.
"""

from __future__ import annotations

import json

QUIET_LEVEL = "info"
"""The usual level, which needs no word."""


def readable(line: str) -> str:
    """Return `event key=value …`, with the level in front unless it is the usual one, a traceback below it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    event, level = entry.pop("event"), entry.pop("level", QUIET_LEVEL)
    traceback = entry.pop("exception", "")
    # A person who watches the line appear needs no time of day.
    entry.pop("timestamp", None)
    parts = [] if level == QUIET_LEVEL else [f"{level}:"]
    parts += [str(event), *(f"{name}={value}" for name, value in entry.items())]
    return " ".join(parts) + (f"\n{traceback}" if traceback else "")
