"""Format and level of the logs, in every process; the level changes by the definitions and SIGHUP."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import TemporalServer
from tests.support.children import StartSidecar, StartWorker
from tests.support.waiting import eventually

LIMIT_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "definitions.yaml"


def write(path: Path, text: str = "") -> Path:
    """Write definitions, `text` in front of them, in one step."""
    new = path.with_suffix(".new")
    new.write_text(f"{text}\ndefinitions: [{{id: chat}}]\n")
    new.replace(path)
    return path


def lines(process: ChildProcess, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, process.tail()) if line["event"] == event]


async def until(process: ChildProcess, event: str, fits: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the process has told of an event like that."""
    await eventually(
        lambda: any(map(fits, lines(process, event))), limit_s=LIMIT_S, why=f"it does not tell of {event} like that"
    )


async def test_a_sidecar(redis_url: str, sidecar_process: StartSidecar, path: Path) -> None:
    """The definitions' level wins over the setting while it stands there, from the start on. What is refused changes
    nothing, and once it is taken out the setting holds again."""
    write(path, "log_level: warning")
    sidecar = sidecar_process(
        redis_url=redis_url,
        definitions=path,
        settings={"MEMSIDECAR_LOG_LEVEL": "info", "MEMSIDECAR_LOG_FORMAT": "json"},
    )
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        await client.ping()
    assert sidecar.tail() == []
    write(path, "log_level: debug")
    os.kill(sidecar.pid, signal.SIGHUP)
    await until(sidecar, "reload.done", lambda line: line.get("log_level") == "debug")

    async def connected() -> int:
        async with redis.asyncio.Redis.from_url(sidecar.url) as client:
            await client.ping()
        return len(lines(sidecar, "client.connected"))

    before = await connected()
    assert before
    write(path, "log_level: loud")
    os.kill(sidecar.pid, signal.SIGHUP)
    await until(sidecar, "reload.refused", lambda line: "log_level" in line["problem"])
    await eventually(lambda: len(lines(sidecar, "client.connected")) >= before)
    before = len(lines(sidecar, "client.connected"))
    await connected()
    await eventually(lambda: len(lines(sidecar, "client.connected")) > before, why="what was refused is in force")
    write(path)
    os.kill(sidecar.pid, signal.SIGHUP)
    await until(sidecar, "reload.done", lambda line: line.get("log_level") == "info")
    before = len(lines(sidecar, "client.connected"))
    await connected()
    os.kill(sidecar.pid, signal.SIGHUP)  # the next line comes after those of the client
    await eventually(lambda: sum("log_level" in line for line in lines(sidecar, "reload.done")) == 3, limit_s=LIMIT_S)
    assert len(lines(sidecar, "client.connected")) == before


async def test_lines_for_people(redis_url: str, sidecar_process: StartSidecar) -> None:
    """Who sets the format to `console` gets lines for people from every process, whatever the output is."""
    settings = {"MEMSIDECAR_WORKERS": "2", "MEMSIDECAR_LOG_FORMAT": "console"}
    sidecar = sidecar_process(redis_url=redis_url, settings=settings)
    await eventually(lambda: sidecar.has_printed("sidecar ready"), limit_s=LIMIT_S)
    assert sum("worker ready" in line for line in sidecar.tail()) == 2
    assert not any(line.startswith("{") for line in sidecar.tail())


async def test_several_processes(redis_url: str, sidecar_process: StartSidecar, path: Path) -> None:
    """With `--workers` the level is that of every worker, and of the supervisor."""
    write(path, "log_level: error")
    sidecar = sidecar_process(redis_url=redis_url, definitions=path, settings={"MEMSIDECAR_WORKERS": "2"})
    assert sidecar.tail() == []
    write(path)
    os.kill(sidecar.pid, signal.SIGHUP)
    for worker in (1, 2, None):
        what = "log_level" if worker is None else "definitions"
        await until(
            sidecar,
            "reload.done",
            lambda line, worker=worker, what=what: (  # type: ignore[misc]
                (line.get("worker"), line["what"], line.get("log_level")) == (worker, what, "info")
            ),
        )


async def test_a_worker(
    redis_url: str, temporal_server: TemporalServer, worker_process: StartWorker, path: Path
) -> None:
    """A Temporal worker follows in the same way."""
    write(path, "log_level: error")
    port = free_port()
    worker = worker_process(
        redis_url=redis_url,
        temporal_address=temporal_server.address,
        definitions=path,
        settings={
            "MEMSIDECAR_WORKER_HTTP_LISTEN": f"127.0.0.1:{port}",
            "MEMSIDECAR_TEMPORAL_TASK_QUEUE": "log-level",
            "MEMSIDECAR_PROJECT": "log-level",
        },
        wait=False,
    )

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    await eventually(ready, limit_s=60, why="the worker does not poll")
    assert worker.tail() == []
    write(path)
    os.kill(worker.pid, signal.SIGHUP)
    await until(worker, "reload.done", lambda line: line.get("log_level") == "info")
