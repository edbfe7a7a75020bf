"""One trace from a client's command to the steps of the flush that it leads to, over every process that takes part."""

from __future__ import annotations

import asyncio
import re
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio

from sidecar.dev.servers import SidecarProcess, TemporalServer
from tests.commands.test_traceparent import VALUE
from tests.e2e.agents import as_map, definitions_file, run
from tests.support.children import StartSidecar, StartWorker
from tests.support.collector import Collector, Span
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
TRACE, CALLER = VALUE.split("-")[1:3]
STEPS = ("flush begin", "flush plan", "flush summarise", "flush commit")
TEXT = "We spoke of lighthouses, and of the keeper's cat. " * 20


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def tracing(collector: Collector) -> dict[str, str]:
    """Return the settings of a process that sends its spans to this collector, soon."""
    return {
        "MEMSIDECAR_TRACING": "otlp",
        "MEMSIDECAR_PROJECT": uuid.uuid4().hex[:8],
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


async def lead_to_a_flush(sidecar: SidecarProcess) -> None:
    """Append until the memory is flushed, the last append traced, and another memory without a trace."""
    async with redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as client:
        for memory in ("small:anna", "small:untraced"):
            assert as_map(await run(client, "MEMAPPEND", memory, "user", TEXT, "assistant", TEXT))["flush"] == "none"
        traced = await run(client, "MEMAPPEND", "small:anna", "TRACEPARENT", VALUE, "user", TEXT)
        assert as_map(traced)["flush"] == "due"
        await run(client, "MEMAPPEND", "small:untraced", "user", TEXT)
        for memory in ("small:anna", "small:untraced"):
            await eventually(partial(_flushed, client, memory), limit_s=60, why=f"{memory} is not flushed")


async def _flushed(client: redis.asyncio.Redis, memory: str) -> bool:
    return bool(as_map(await run(client, "MEMINFO", memory))["last-flush-ms"])


async def whole(collector: Collector) -> Span:
    """Wait for the trace, and return the span of the command; each step is below it."""
    await eventually(lambda: all(map(collector.named, ("MEMAPPEND", *STEPS))), why="a span is missing")
    (command,) = collector.named("MEMAPPEND")
    assert (command.trace, command.parent, command.service) == (TRACE, CALLER, "memsidecar")
    assert command.facts == {"memsidecar.definition": "small"}
    for name in STEPS:
        (step,) = collector.named(name)
        assert (step.trace, step.parent, step.error) == (TRACE, command.id, None)
        assert step.facts["memsidecar.definition"] == "small"
    (commit,) = collector.named("flush commit")
    assert commit.facts["memsidecar.removed"] > 0
    assert len(collector.spans) == 1 + len(STEPS)
    assert "anna" not in repr(collector.spans)
    return command


async def test_the_local_engine(
    redis_url: str, sidecar_process: StartSidecar, collector: Collector, tmp_path: Path
) -> None:
    """All spans come from the sidecar."""
    definitions = definitions_file(tmp_path, id="small", max_tokens=800)
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions, settings=tracing(collector))
    await lead_to_a_flush(sidecar)
    await whole(collector)


@pytest.mark.parametrize("sidecar_records", [True, False])
async def test_through_temporal(
    redis_url: str,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    collector: Collector,
    tmp_path: Path,
    sidecar_records: bool,
) -> None:
    """The steps come from the worker; below the client's own span where the sidecar records nothing."""
    definitions = definitions_file(tmp_path, id="small", max_tokens=800)
    settings = tracing(collector)
    settings["MEMSIDECAR_TEMPORAL_TASK_QUEUE"] = settings["MEMSIDECAR_PROJECT"]
    worker_process(
        redis_url=redis_url,
        temporal_address=temporal_server.address,
        definitions=definitions,
        settings=settings,
    )
    sidecar = sidecar_process(
        redis_url=redis_url,
        engine="temporal",
        temporal_address=temporal_server.address,
        definitions=definitions,
        settings={**settings, "MEMSIDECAR_TRACING": "otlp" if sidecar_records else "off"},
    )
    await lead_to_a_flush(sidecar)
    if sidecar_records:
        await whole(collector)
    else:
        await eventually(lambda: all(map(collector.named, STEPS)), why="a span is missing")
        assert {(span.trace, span.parent) for span in collector.spans} == {(TRACE, CALLER)}
    assert {collector.named(name)[0].service for name in STEPS} == {"memsidecar-worker"}


async def test_the_example_in_the_documentation(
    redis_url: str, sidecar_process: StartSidecar, collector: Collector
) -> None:
    """A client that does as it says finds its command below its own span."""
    sidecar = sidecar_process(redis_url=redis_url, settings=tracing(collector))
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tracing.md").read_text(), re.DOTALL)
    program = f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
{example.replace("6380", str(sidecar.port))}
print(here["traceparent"])
"""
    ran = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    said, _ = await ran.communicate()
    assert ran.returncode == 0
    await eventually(lambda: collector.named("MEMAPPEND"))
    assert collector.spans[0].parent == said.decode().split("-")[2]


async def test_what_is_asked_for(redis_url: str, sidecar_process: StartSidecar, collector: Collector) -> None:
    """MEMFLUSH hands its trace on too; what is refused has its span; and the end of a process loses none."""
    settings = {**tracing(collector), "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    sidecar = sidecar_process(redis_url=redis_url, settings=settings)
    async with redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as client:
        await run(client, "MEMAPPEND", "a", "user", TEXT, "assistant", TEXT)
        await run(client, "MEMFLUSH", "a", "TRACEPARENT", VALUE, "FORCE", "TARGET", "10", "WAIT", "10000")
        with pytest.raises(redis.exceptions.ResponseError, match="no option"):
            await run(client, "MEMREAD", "a", "TRACEPARENT", VALUE, "NONSENSE")
    assert collector.spans == []
    sidecar.stop()
    (flush,), (read,) = collector.named("MEMFLUSH"), collector.named("MEMREAD")
    assert (flush.parent, read.parent, read.error) == (CALLER, CALLER, "ERR")
    assert {span.parent for span in collector.spans if span.name.startswith("flush ")} == {flush.id}
