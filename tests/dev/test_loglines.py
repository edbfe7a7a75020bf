"""JSON log lines as a person reads them."""

from __future__ import annotations

import pytest

from sidecar.dev.loglines import readable


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            '{"port": 6380, "engine": "local", "event": "sidecar ready", "level": "info", "timestamp": "2026"}',
            "sidecar ready port=6380 engine=local",
        ),
        ('{"error": "refused", "event": "no Redis", "level": "warning"}', "warning: no Redis error=refused"),
        ('{"event": "bug", "level": "error", "exception": "Trace\\nback"}', "error: bug\nTrace\nback"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('{"a": 1}', '{"a": 1}'),
        ("[1]", "[1]"),
        ("{", "{"),
        ("", ""),
    ],
)
def test_readable(line: str, shown: str) -> None:
    """Structured lines become sentences that keep every field; anything else is left alone."""
    assert readable(line) == shown
