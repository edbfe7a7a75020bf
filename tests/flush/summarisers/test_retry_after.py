"""The header in both its forms, and what is none."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from sidecar.flush.summarisers.retry_after import seconds_until_retry


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-5", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("soon", None),
        ("٣", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_headers(header: str | None, seconds: float | None) -> None:
    """Seconds and past dates have a value, everything else has none."""
    assert seconds_until_retry(header) == seconds


def test_a_date_to_come() -> None:
    """A date counts from now, to its whole second."""
    seconds = seconds_until_retry(formatdate(time.time() + 90, usegmt=True))
    assert seconds is not None
    assert 80 < seconds <= 90
