"""Sizes as people write them: `4096`, `64 KiB`, `1MiB`."""

from __future__ import annotations

import re
from math import isinf

_UNITS = {"": 1, "b": 1, "kib": 1024, "kb": 1000, "mib": 1024**2, "mb": 1000**2, "gib": 1024**3, "gb": 1000**3}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")

LARGEST_BYTES = 512 * 1024 * 1024
"""Longest string that Redis takes."""

SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": LARGEST_BYTES},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGkmg][Ii]?[Bb]|[Bb])?\s*$"},
    ]
}
"""A size for JSON schema."""


def parse_size(value: object) -> int | None:
    """Return bytes; None for none.

    Raises:
        ValueError: it is no size.
    """
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value)) if not isinstance(value, bool) else None
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"'{value}' is no size; write bytes, or a number with a unit, such as 64KiB or 1MiB")
    size = float(match[1]) * unit
    if isinf(size):
        raise ValueError(f"'{value}' must be at most {LARGEST_BYTES} bytes")
    return round(size)
