"""Spans by OpenTelemetry, as a collector gets them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from sidecar.app.tracing import Tracing
from sidecar.config.settings import Settings
from sidecar.dev.ports import free_port
from sidecar.errors import ConfigurationError
from sidecar.memory.tracing import Untraced
from sidecar.tracing import OtlpTracer
from tests.commands.test_traceparent import VALUE
from tests.support.collector import Collector

TRACE, PARENT = VALUE.split("-")[1:3]
SERVER, INTERNAL = 2, 1


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """One that OpenTelemetry's own variable names."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


async def test_a_command(collector: Collector) -> None:
    """Its span is below the client's, of kind server, and its context is the parent of others."""
    tracer = OtlpTracer("memsidecar")
    span = tracer.command("MEMAPPEND", VALUE)
    span.end(None, {"definition": "chat"})
    tracer.command("MEMREAD", span.context).end("UNAVAILABLE", {})
    await tracer.close(10)
    above, below = sorted(collector.spans, key=lambda each: each.name)
    assert (above.service, above.trace, above.parent, above.kind) == ("memsidecar", TRACE, PARENT, SERVER)
    assert (above.facts, above.failed) == ({"memsidecar.definition": "chat"}, False)
    assert span.context == f"00-{TRACE}-{above.id}-01"
    assert (below.trace, below.parent, below.error, below.failed) == (TRACE, above.id, "UNAVAILABLE", True)


async def test_a_step(collector: Collector) -> None:
    """What it is told meanwhile is in it, and OpenTelemetry has it for the current span; of no trace it is none."""
    tracer = OtlpTracer("memsidecar")
    with tracer.step("flush plan", VALUE, {"run_id": "r"}) as told:
        told["removed"] = 3
        current = trace.get_current_span().get_span_context()
    with tracer.step("flush plan", "", {}) as told:
        assert not trace.get_current_span().get_span_context().is_valid
    await tracer.close(10)
    (span,) = collector.spans
    assert (span.name, span.trace, span.parent, span.kind) == ("flush plan", TRACE, PARENT, INTERNAL)
    assert span.facts == {"memsidecar.run_id": "r", "memsidecar.removed": 3}
    assert (f"{current.trace_id:032x}", f"{current.span_id:016x}") == (span.trace, span.id)


@pytest.mark.parametrize("trouble", [ValueError("the secret text"), asyncio.CancelledError("the secret text")])
async def test_a_step_that_fails(collector: Collector, trouble: BaseException) -> None:
    """Its span has the type of what was raised, never the text, which may quote a message."""
    tracer = OtlpTracer("memsidecar")
    with pytest.raises(type(trouble)), tracer.step("flush commit", VALUE, {}):
        raise trouble
    await tracer.close(10)
    (span,) = collector.spans
    assert (span.error, span.failed, span.events) == (type(trouble).__name__, True, 0)
    assert "secret" not in repr(span)


async def test_what_the_client_does_not_sample(collector: Collector) -> None:
    """It is not sent, and neither is what is done for it."""
    tracer = OtlpTracer("memsidecar")
    span = tracer.command("MEMAPPEND", f"{VALUE[:-2]}00")
    span.end(None, {})
    assert span.context.startswith(f"00-{TRACE}-")
    assert span.context.endswith("-00")
    with tracer.step("flush plan", span.context, {}):
        pass
    await tracer.close(10)
    assert collector.spans == []


@pytest.mark.parametrize("variable", ["OTEL_SERVICE_NAME=agents", "OTEL_RESOURCE_ATTRIBUTES=service.name=agents"])
async def test_the_name_of_the_service(collector: Collector, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """OpenTelemetry's own variables win."""
    monkeypatch.setenv(*variable.split("=", 1))
    tracer = OtlpTracer("memsidecar")
    tracer.command("MEMREAD", VALUE).end(None, {})
    await tracer.close(10)
    assert [span.service for span in collector.spans] == ["agents"]


async def test_a_collector_that_hangs(collector: Collector) -> None:
    """Closing takes no longer than it may, and no command has waited."""
    collector.hold.clear()
    tracer = OtlpTracer("memsidecar")
    tracer.command("MEMREAD", VALUE).end(None, {})
    async with asyncio.timeout(5):
        await tracer.close(0.1)
    collector.hold.set()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "must be a URL"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector", "must be a URL"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "must be http/protobuf"),
    ],
)
def test_what_cannot_be_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    """What would only fail when spans are sent is refused at the start."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^tracing: {name} {text}"):
        OtlpTracer("memsidecar")


async def test_off() -> None:
    """Without it nothing of OpenTelemetry is loaded, and the client's context is what goes on."""
    tracing = Tracing(Settings(), "memsidecar")
    assert isinstance(tracing.tracer, Untraced)
    assert tracing.tracer.command("MEMREAD", VALUE).context == VALUE
    with tracing.tracer.step("flush plan", VALUE, {}) as told:
        told["removed"] = 1
    await tracing.close()


def test_without_the_extra() -> None:
    """Where the packages are missing, the error says what to install; and off, they are not looked for."""
    program = """
import sys
sys.modules["opentelemetry"] = None
from sidecar.app.tracing import Tracing
from sidecar.config.settings import Settings
from sidecar.errors import ConfigurationError
Tracing(Settings(), "memsidecar")
try:
    Tracing(Settings(tracing="otlp"), "memsidecar")
except ConfigurationError as problem:
    print(problem)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.startswith("tracing: OpenTelemetry is not installed")
    assert "pip install 'memsidecar[otel]'" in run.stdout


async def test_nobody_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are given up; commands go on, and so does the end of the process."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracer = OtlpTracer("memsidecar")
    for _ in range(10_000):  # more than there is room for
        tracer.command("MEMREAD", VALUE).end(None, {})
    async with asyncio.timeout(10):
        await tracer.close(0.1)
