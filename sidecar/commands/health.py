"""MEMHEALTH."""

from __future__ import annotations

from sidecar.commands.resolving import Resolve
from sidecar.memory.requests import HealthRequest
from sidecar.memory.results import ComponentState, HealthReport
from sidecar.resp.replies import Value

NEVER_LOOKED_AT = ComponentState("unknown", None, None)


def parse(items: list[bytes], resolve: Resolve) -> HealthRequest:
    """MEMHEALTH has no arguments."""
    return HealthRequest()


def render(report: HealthReport) -> Value:
    """Return a map with one map per component. Those that are looked at have a state, and the ages of both."""
    return {
        "healthy": report.healthy,
        "redis": {
            **_state(report, "redis"),
            "up": report.redis_ms is not None,
            "round-trip-ms": report.redis_ms,
        },
        "flush-engine": {**_state(report, "flush-engine"), "name": report.engine, "up": report.engine_up},
        "outbox": {
            **_state(report, "outbox"),
            "depth": report.outbox_depth,
            "oldest-age-seconds": report.outbox_age_seconds,
        },
        "locks": {
            "acquired": report.locks_acquired,
            "refused": report.locks_refused,
            "waiting": report.lock_waiters,
        },
        "tokenizer": dict(report.encodings),
    }


def _state(report: HealthReport, component: str) -> dict[str, Value]:
    state, age_ms, for_ms = report.states.get(component, NEVER_LOOKED_AT)
    return {"state": state, "age-ms": age_ms, "for-ms": for_ms}
