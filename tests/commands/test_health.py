"""MEMHEALTH: no arguments, and a map for each component."""

from __future__ import annotations

from sidecar.memory.requests import HealthRequest
from sidecar.memory.results import ComponentState, HealthReport
from tests.commands.asking import check_both, parse, refused


def test_request() -> None:
    """It has no arguments."""
    assert parse("MEMHEALTH") == HealthRequest()
    assert refused("MEMHEALTH", "now") == "ERR wrong number of arguments for 'memhealth' command"


def test_reply() -> None:
    """Each component is a map; those that are looked at have a state with its ages, and a dead Redis no round trip."""
    states = {
        "redis": ComponentState("up", 10, 5_000),
        "flush-engine": ComponentState("down", 20, 6_000),
        "outbox": ComponentState("unknown", None, None),
    }
    check_both(
        "MEMHEALTH",
        HealthReport(True, 0.25, "temporal", False, 3, 1.5, {"o200k_base": "tiktoken"}, 5, 2, 1, states),
        {
            "healthy": True,
            "redis": {"state": "up", "age-ms": 10, "for-ms": 5_000, "up": True, "round-trip-ms": 0.25},
            "flush-engine": {"state": "down", "age-ms": 20, "for-ms": 6_000, "name": "temporal", "up": False},
            "outbox": {"state": "unknown", "age-ms": None, "for-ms": None, "depth": 3, "oldest-age-seconds": 1.5},
            "locks": {"acquired": 5, "refused": 2, "waiting": 1},
            "tokenizer": {"o200k_base": "tiktoken"},
        },
    )
    check_both(
        "MEMHEALTH",
        HealthReport(False, None, "local", False, 0, 0.0, {}, states=states),
        {
            "healthy": False,
            "redis": {"state": "up", "age-ms": 10, "for-ms": 5_000, "up": False, "round-trip-ms": None},
            "flush-engine": {"state": "down", "age-ms": 20, "for-ms": 6_000, "name": "local", "up": False},
            "outbox": {"state": "unknown", "age-ms": None, "for-ms": None, "depth": 0, "oldest-age-seconds": 0.0},
            "locks": {"acquired": 0, "refused": 0, "waiting": 0},
            "tokenizer": {},
        },
    )
