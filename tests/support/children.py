"""Starts programs for tests and makes sure that all of them are gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from sidecar.dev.ports import free_port
from sidecar.dev.processes import READY_LIMIT_S, ChildProcess
from sidecar.dev.servers import RedisServer, SidecarProcess, TemporalServer, WorkerProcess
from tests.support.waiting import eventually

Child = TypeVar("Child", bound=ChildProcess)


def alive(pid: int) -> bool:
    """Return whether the process `pid` runs; one that has ended and is not yet collected does not."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The name may hold spaces and brackets; the state is the first field after it.
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def freeze(pid: int) -> None:
    """Stop a process where it is, and return once it stands: until then it may still answer. SIGCONT wakes it."""
    os.kill(pid, signal.SIGSTOP)

    def stands() -> bool:
        if sys.platform != "linux":
            shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=True)
            return shown.stdout.strip().startswith("T")
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    await eventually(stands)


PATIENCE_S = 60.0
"""For several programs that start side by side, on a machine that has more to do."""


def ready(child: ChildProcess) -> None:
    """Wait, with more patience than `wait_ready`, for a program that was started with others."""
    assert child.becomes(child.is_ready, limit_s=PATIENCE_S), f"{child.name}: {child.ready_sign}"


SWEEP_NOTHING = {"MEMSIDECAR_SWEEP_INTERVAL_S": "3600", "MEMSIDECAR_TEMPORAL_SWEEP_INTERVAL_S": "86400"}
"""Settings of a sidecar or worker that looks for marks when all tests are over."""


class Children:
    """Every program that a test, or the whole run, has started.

    Args:
        shared: they run beside other tests, on the same Redis, so they must not sweep: those tests leave marks in the
            outbox, and ask later what has become of them.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.settings = SWEEP_NOTHING if shared else {}
        self._started: list[ChildProcess] = []

    def add(self, child: Child, *, wait: bool = True) -> Child:
        """Start `child` and return it.

        With `wait` it is ready on return; the event loop stands still meanwhile, so a test that answers the
        child from the same loop passes `wait=False` and awaits `asyncio.to_thread(child.wait_ready)` itself.
        """
        self._started.append(child)
        if child.ready_limit_s >= READY_LIMIT_S:  # no test of the limit itself
            child.ready_limit_s = max(child.ready_limit_s, PATIENCE_S)
        if wait:
            child.start()
        else:
            child.spawn()
        return child

    def stop_all(self) -> None:
        """Stop what still runs, the latest first, and print its last lines: pytest shows them on failure."""
        for child in reversed(self._started):
            if child.running:
                child.stop()
            print(f"--- {child.name} (exit code {child.exit_code}), its last lines:")
            print("\n".join(child.tail()))


class StartRedis:
    """Fixture `start_redis`: own servers, for tests that stop, kill or configure one."""

    def __init__(self, children: Children, directory: Path, program: Path) -> None:
        self._children = children
        self._directory = directory
        self._program = program

    def __call__(self, *arguments: str, appendonly: bool = False, port: int | None = None) -> RedisServer:
        """Start a Redis and return it ready; `arguments` are options of redis-server, `port` None a free one.

        With `appendonly` its data survives `kill()` and `start()`.
        """
        port = free_port() if port is None else port
        directory = self._directory / f"redis-{port}"
        directory.mkdir()
        return self._children.add(
            RedisServer(
                port=port,
                directory=directory,
                appendonly=appendonly,
                program=self._program,
                arguments=arguments,
            )
        )


class StartTemporal:
    """Fixture `start_temporal`: own dev servers, for tests that stop or kill one."""

    def __init__(self, children: Children, program: Path) -> None:
        self._children = children
        self._program = program

    def __call__(self, *, db_filename: Path | None = None, port: int | None = None) -> TemporalServer:
        """Start a dev server and return it ready; with `db_filename` its history survives a restart."""
        port = free_port() if port is None else port
        return self._children.add(TemporalServer(port=port, db_filename=db_filename, program=self._program))


def _settings(
    *,
    redis_url: str,
    engine: str,
    temporal_address: str | None,
    definitions: Path | None,
    settings: dict[str, str] | None,
) -> dict[str, str]:
    environment = {"MEMSIDECAR_REDIS_URL": redis_url, "MEMSIDECAR_ENGINE": engine}
    if temporal_address is not None:
        environment["MEMSIDECAR_TEMPORAL_ADDRESS"] = temporal_address
        environment["MEMSIDECAR_TEMPORAL_NAMESPACE"] = "default"
    if definitions is not None:
        environment["MEMSIDECAR_DEFINITIONS"] = str(definitions)
    return {**environment, **(settings or {})}


class StartSidecar:
    """Fixture `sidecar_process`: real `python -m sidecar serve` processes."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def __call__(
        self,
        *,
        redis_url: str,
        engine: str = "local",
        temporal_address: str | None = None,
        definitions: Path | None = None,
        settings: dict[str, str] | None = None,
        port: int | None = None,
        wait: bool = True,
    ) -> SidecarProcess:
        """Start a sidecar on free ports and return it once it accepts connections.

        `definitions` is the YAML file, `settings` further environment variables (`MEMSIDECAR_…`).
        """
        environment = _settings(
            redis_url=redis_url,
            engine=engine,
            temporal_address=temporal_address,
            definitions=definitions,
            settings=settings,
        )
        port = free_port() if port is None else port
        settings = self._children.settings | environment
        sidecar = SidecarProcess(port=port, http_port=free_port(), settings=settings)
        return self._children.add(sidecar, wait=wait)


class StartWorker:
    """Fixture `worker_process`: real `python -m sidecar worker` processes."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def __call__(
        self,
        *,
        redis_url: str,
        temporal_address: str | None,
        definitions: Path | None = None,
        settings: dict[str, str] | None = None,
        wait: bool = True,
    ) -> WorkerProcess:
        """Start a worker and return it once it polls; the arguments are those of `sidecar_process`."""
        environment = _settings(
            redis_url=redis_url,
            engine="temporal",
            temporal_address=temporal_address,
            definitions=definitions,
            settings=settings,
        )
        return self._children.add(WorkerProcess(settings=self._children.settings | environment), wait=wait)
