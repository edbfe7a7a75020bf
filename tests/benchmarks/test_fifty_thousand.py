"""The demonstration that nothing is lost, in small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis.asyncio

from benchmarks.fifty_thousand import DEFINITION, DEFINITIONS, Places, demonstrate
from sidecar.dev.servers import RedisServer, TemporalServer
from tests.support.children import StartSidecar, StartWorker

ROOT = Path(__file__).resolve().parents[2]

LIMIT_S = 100.0
"""It takes some 15 seconds; more is a hang."""


@pytest.mark.parametrize("engine", ["local", "temporal"])
async def test_two_thousand_messages_and_none_is_lost(
    engine: str,
    redis_server: RedisServer,
    redis_client: redis.asyncio.Redis,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    tmp_path: Path,
) -> None:
    """20 memories are flushed while eight clients append: all witnesses agree about every single message."""
    definitions = tmp_path / "definitions.yaml"
    definitions.write_text(DEFINITIONS)
    address = temporal_server.address if engine == "temporal" else None
    queue = {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": "fifty-thousand"}
    if address is not None:
        worker_process(redis_url=redis_server.url, temporal_address=address, definitions=definitions, settings=queue)
    sidecar = sidecar_process(
        redis_url=redis_server.url, engine=engine, temporal_address=address, definitions=definitions, settings=queue
    )
    places = Places(sidecar.url, redis_server.url, sidecar.metrics_url, address)
    story = await demonstrate(places, count=2_000, memories=20, clients=8, definition=DEFINITION)
    assert story.contradictions() == []
    assert (story.appended, story.marks) == (2_000, 0)
    assert story.removed > 1_000
    assert story.flushes >= 20


def test_from_the_command_line() -> None:
    """It starts `memsidecar dev` itself, prints who says what, and its exit code tells that all is well."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fifty_thousand", "--engine", "local", "--messages", "300", "--memories=4"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every acknowledged message is accounted for." in done.stdout
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith(" ")}
    assert rows["appended"] == ["300", "300", "300"]


def test_a_sidecar_without_its_redis() -> None:
    """Whoever names a running sidecar is told to name its Redis too."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fifty_thousand", "--sidecar", "redis://127.0.0.1:1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "--sidecar needs --redis" in done.stderr
