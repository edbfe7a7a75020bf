"""Durations as people write them: `500ms`, `24h`, `30d`, `5 minutes`, `1h30m`."""

from __future__ import annotations

import re

_UNITS_MS = {
    "ms": 1,
    "millisecond": 1,
    "s": 1_000,
    "sec": 1_000,
    "second": 1_000,
    "m": 60_000,
    "min": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "w": 604_800_000,
    "week": 604_800_000,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)

SCHEMA = {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*[A-Za-z]+\s*)+$"}
"""A duration for JSON schema. Any word passes for a unit: a pattern without regard to case would be unreadable."""

LONGEST_MS = 10 * 365 * 86_400_000
"""Ten years. More is a slip of the pen, and Redis refuses expiry times that overflow."""


def parse_duration(text: str) -> int:
    """Return milliseconds.

    Raises:
        ValueError: the text is no duration, or is not between 1 ms and ten years.
    """
    total, position = 0.0, 0
    while position < len(text) or not position:
        part = _PART.match(text, position)
        unit = part[2].lower() if part else ""
        scale = _UNITS_MS.get(unit) or _UNITS_MS.get(unit.removesuffix("s"))
        if part is None or scale is None:
            raise ValueError(
                f"'{text}' is no duration; write a number and a unit, such as 500ms, 30s, 5 minutes, 24h, 1h30m, 30d"
            )
        total += float(part[1]) * scale
        position = part.end()
    milliseconds = round(min(total, LONGEST_MS + 1))  # infinity, which many digits make, cannot be rounded
    if not 1 <= milliseconds <= LONGEST_MS:
        raise ValueError(f"'{text}' must be between 1ms and 3650d")
    return milliseconds
