"""Durations: every unit, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.durations import LONGEST_MS, parse_duration

DURATIONS = {
    "1ms": 1,
    "500ms": 500,
    "500 milliseconds": 500,
    "1s": 1_000,
    "1.5s": 1_500,
    "90sec": 90_000,
    "90 secs": 90_000,
    "1 second": 1_000,
    "2m": 120_000,
    "2min": 120_000,
    "5 minutes": 300_000,
    "5 MINS": 300_000,
    "24h": 86_400_000,
    "1 hour": 3_600_000,
    "0.5 hours": 1_800_000,
    "30d": 2_592_000_000,
    "1 day": 86_400_000,
    " 2  weeks ": 1_209_600_000,
    "1w": 604_800_000,
    "1h30m": 5_400_000,
    "1d 2h": 93_600_000,
    "3650d": LONGEST_MS,
}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations(text: str) -> None:
    """A number and a unit, short or long, with or without a space, are milliseconds."""
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize("text", ["", "5", "s", "5 parsecs", "-5s", "+5s", "5s6", "1h30", "1,5s", "1e3s", ".5s"])
def test_no_durations(text: str) -> None:
    """Anything else is refused with an example of what is right."""
    with pytest.raises(ValueError, match="is no duration; write a number and a unit, such as 500ms"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0.4ms", "3651d", "99999999999999999999w", f"{'9' * 400}s"])
def test_out_of_range(text: str) -> None:
    """Less than a millisecond or more than ten years is refused."""
    with pytest.raises(ValueError, match=f"'{text}' must be between 1ms and 3650d"):
        parse_duration(text)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_any_text(text: str) -> None:
    """Whatever the text is, the answer is a number in range or a ValueError."""
    try:
        milliseconds = parse_duration(text)
    except ValueError:
        return
    assert 1 <= milliseconds <= LONGEST_MS
