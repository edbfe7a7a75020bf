"""What the service answers in these tests."""

from __future__ import annotations

from sidecar.memory.results import ComponentState, HealthReport

_UP = ComponentState("up", 1, 1)
HEALTH = HealthReport(True, 1.5, "local", True, 0, 0.0, {}, states={"redis": _UP, "flush-engine": _UP, "outbox": _UP})
