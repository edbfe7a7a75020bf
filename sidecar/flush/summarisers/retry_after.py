"""The header `Retry-After` of RFC 9110, section 10.2.3: seconds, or a date.

Pure but for the clock that a date needs.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


def seconds_until_retry(header: str | None) -> float | None:
    """Return seconds from now, 0 for a date that has passed; None where the header is missing or says nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():  # some servers send fractions
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
