"""Spans by OpenTelemetry, sent to a collector. The only importer of it; loaded where tracing is on.

What can be set is set by OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and others; see
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.

Spans wait in a queue of bounded length (`OTEL_BSP_MAX_QUEUE_SIZE`, 2,048) and are sent by a thread; those for which
there is no room are dropped, and no command waits for a collector.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sidecar import __version__
from sidecar.errors import ConfigurationError
from sidecar.memory.tracing import Fact, Span

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as missing:
    raise ConfigurationError(
        [f"tracing: OpenTelemetry is not installed ({missing.name}); pip install 'memsidecar[otel]', or set it to off"]
    ) from missing

HEADER = "traceparent"
PREFIX = "memsidecar."
"""Of our attributes' names."""

_PROPAGATOR = TraceContextTextMapPropagator()
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"


class OtlpTracer:
    """The port `Tracer`. `close` must be awaited, or what waits to be sent is lost.

    Args:
        service: name of this process among the services of a trace, unless OpenTelemetry's variables give one.

    Raises:
        ConfigurationError: a variable of OpenTelemetry's cannot be used.
    """

    def __init__(self, service: str) -> None:
        check_environment()
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("memsidecar", __version__)

    def command(self, name: str, parent: str) -> Span:
        """Begin the span of a MEM command."""
        return _Command(self._tracer.start_span(name, _context(parent), SpanKind.SERVER))

    @contextmanager
    def step(self, name: str, parent: str, facts: Mapping[str, Fact]) -> Iterator[dict[str, Fact]]:
        """Record a step. It is OpenTelemetry's current span meanwhile: what others instrument comes below it."""
        told = dict(facts)
        if not parent:
            yield told
            return
        span = self._tracer.start_span(name, _context(parent))
        error: str | None = None
        try:
            # The text of an exception may quote anything: it is not recorded.
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield told
        except BaseException as trouble:
            error = type(trouble).__name__
            raise
        finally:
            _end(span, error, told)

    async def close(self, limit_s: float) -> None:
        """Send what waits, as far as the collector takes it within this time."""
        closing = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        await asyncio.wait({closing}, timeout=limit_s)


class _Command:
    """A command's span."""

    __slots__ = ("_span", "context")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        self.context = carrier[HEADER]

    def end(self, error: str | None, facts: Mapping[str, Fact]) -> None:
        """See `memory.tracing.Span`."""
        _end(self._span, error, facts)


def _end(span: trace.Span, error: str | None, facts: Mapping[str, Fact]) -> None:
    if span.is_recording():
        span.set_attributes({PREFIX + name: value for name, value in facts.items()})
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR)
    span.end()


def _context(parent: str) -> Context:
    return _PROPAGATOR.extract({HEADER: parent})


def _resource(service: str) -> Resource:
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({"service.version": __version__, **({} if named else {"service.name": service})})


def check_environment() -> None:
    """Refuse what OpenTelemetry would take, and then fail to send by, a line in the log for each batch.

    Raises:
        ConfigurationError: a variable cannot be used.
    """
    for name in _ENDPOINTS:
        endpoint = os.environ.get(name, "")
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise ConfigurationError(
                [f"tracing: {name} must be a URL of the collector's HTTP port, such as http://127.0.0.1:4318"]
            )
    for name in _PROTOCOLS:
        if os.environ.get(name, SPOKEN) != SPOKEN:
            raise ConfigurationError([f"tracing: {name} must be {SPOKEN}, the only one that memsidecar speaks"])
