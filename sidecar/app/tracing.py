"""The tracer of a process: OpenTelemetry's where that is switched on, and loaded only then."""

from __future__ import annotations

from sidecar.config.settings import Settings
from sidecar.memory.tracing import Tracer, Untraced

LAST_SPANS_S = 2.0
"""How long a collector may take for the last spans when a process stops."""


class Tracing:
    """Makes it and closes it.

    Args:
        settings: say whether there is one.
        service: name of this process among the services of a trace.

    Raises:
        ConfigurationError: OpenTelemetry is not installed, or cannot be used as it is set up.
    """

    def __init__(self, settings: Settings, service: str) -> None:
        self.tracer: Tracer = Untraced()
        self._otlp = None
        if settings.tracing == "otlp":
            # Only here, because loading it takes memory, and a part of the start.
            from sidecar.tracing import OtlpTracer

            self.tracer = self._otlp = OtlpTracer(service)

    async def close(self) -> None:
        """Send the last spans."""
        if self._otlp is not None:
            await self._otlp.close(LAST_SPANS_S)
