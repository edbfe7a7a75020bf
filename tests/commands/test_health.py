"""MEMHEALTH: no arguments, and a map for each component."""

from __future__ import annotations

from sidecar.memory.requests import HealthRequest
from sidecar.memory.results import HealthReport
from tests.commands.asking import check_both, parse, refused


def test_request() -> None:
    """It has no arguments."""
    assert parse("MEMHEALTH") == HealthRequest()
    assert refused("MEMHEALTH", "now") == "ERR wrong number of arguments for 'memhealth' command"


def test_reply() -> None:
    """Each component is a map; a Redis that is down has no round trip."""
    check_both(
        "MEMHEALTH",
        HealthReport(True, 0.25, "temporal", True, 3, 1.5, {"o200k_base": "tiktoken"}, 5, 2, 1),
        {
            "healthy": True,
            "redis": {"up": True, "round-trip-ms": 0.25},
            "flush-engine": {"name": "temporal", "up": True},
            "outbox": {"depth": 3, "oldest-age-seconds": 1.5},
            "locks": {"acquired": 5, "refused": 2, "waiting": 1},
            "tokenizer": {"o200k_base": "tiktoken"},
        },
    )
    check_both(
        "MEMHEALTH",
        HealthReport(False, None, "local", False, 0, 0.0, {}),
        {
            "healthy": False,
            "redis": {"up": False, "round-trip-ms": None},
            "flush-engine": {"name": "local", "up": False},
            "outbox": {"depth": 0, "oldest-age-seconds": 0.0},
            "locks": {"acquired": 0, "refused": 0, "waiting": 0},
            "tokenizer": {},
        },
    )
