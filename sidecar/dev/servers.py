"""The programs of a development set-up: Redis, the Temporal dev server, the sidecar and its worker.

Each class knows one program's command line, when it is ready and how long it may take to stop. Where they run
and in which order is decided by `plan` and `launcher`; the tests start single ones. All of them listen on
127.0.0.1 only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sidecar.dev import probes
from sidecar.dev.binaries import find_redis_server, find_temporal
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.processes import READY_LIMIT_S, ChildProcess, ignore

REDIS_STOP_LIMIT_S = 10.0
"""Redis writes what it keeps to the disk before it goes; on a busy laptop disk that can take seconds."""

TEMPORAL_STOP_LIMIT_S = 10.0
"""The dev server needs a little over a second, whatever it has to do."""

SIDECAR_STOP_LIMIT_S = 20.0
"""The sidecar lets running commands finish first; it has a shorter limit of its own."""

WORKER_STOP_LIMIT_S = 30.0
"""The worker gives running steps 20 s to finish, and ends by itself after 25 s at the latest."""

WORKER_READY_LINE = "worker ready"
"""What the worker prints once it polls. It listens nowhere, so there is no port to ask."""


class RedisServer(ChildProcess):
    """An embedded Redis. Without `appendonly` nothing is ever written to the disk."""

    stop_limit_s = REDIS_STOP_LIMIT_S
    ready_sign = "it does not answer PING, or still loads its data"

    def __init__(
        self,
        *,
        port: int,
        directory: Path,
        appendonly: bool = False,
        program: Path | None = None,
        arguments: Sequence[str] = (),
        on_line: Callable[[str], None] = ignore,
        on_end: Callable[[ChildProcess], None] = ignore,
    ) -> None:
        """`directory` must exist; `program` None: the one on this machine; `arguments`: options of Redis."""
        super().__init__("redis", on_line=on_line, on_end=on_end)
        self.port = port
        self.program = program or find_redis_server()
        self._directory = directory
        self._appendonly = appendonly
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        """Address for clients, database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        # "warning" is Redis's quietest level; the greeting that remains names version and process.
        fixed = {
            "--port": str(self.port),
            "--bind": LOOPBACK,
            "--dir": str(self._directory),
            "--save": "",
            "--appendonly": "yes" if self._appendonly else "no",
            "--loglevel": "warning",
        }
        return [self.program, *(part for option in fixed.items() for part in option), *self._arguments]

    def is_ready(self) -> bool:
        return probes.redis_answers(self.port, self.pid)


class TemporalServer(ChildProcess):
    """Temporal's development server, with the namespace `default`. Ready after about 0.2 s."""

    stop_limit_s = TEMPORAL_STOP_LIMIT_S
    ready_sign = "its namespace 'default' is not registered"

    def __init__(
        self,
        *,
        port: int,
        ui_port: int | None = None,
        db_filename: Path | None = None,
        program: Path | None = None,
        on_line: Callable[[str], None] = ignore,
        on_end: Callable[[ChildProcess], None] = ignore,
    ) -> None:
        """`ui_port` None means no web page; `db_filename` None keeps the history in memory only."""
        # Otherwise the server asks a host on the internet whether it is outdated.
        super().__init__("temporal", env={"TEMPORAL_VERSION_CHECK_DISABLED": "1"}, on_line=on_line, on_end=on_end)
        self.port = port
        self.ui_port = ui_port
        self.program = program or find_temporal()
        self._db_filename = db_filename
        self._http_port = free_port()
        self._metrics_port = free_port()

    @property
    def address(self) -> str:
        """`host:port` for Temporal clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def metrics_url(self) -> str:
        """What Prometheus reads: the server's own counters, its calls among them."""
        return f"http://{LOOPBACK}:{self._metrics_port}/metrics"

    @property
    def ui_url(self) -> str | None:
        """The web page; None if there is none."""
        return None if self.ui_port is None else f"http://{LOOPBACK}:{self.ui_port}"

    def command(self) -> Sequence[str | Path]:
        command: list[str | Path] = [self.program, "server", "start-dev", "--ip", LOOPBACK]
        command += ["--port", str(self.port), "--http-port", str(self._http_port)]
        command += ["--metrics-port", str(self._metrics_port), "--log-level", "error"]
        # By default it hands out 20 tasks a second, which makes a flush of milliseconds take a quarter of a second.
        command += ["--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000"]
        command += ["--headless"] if self.ui_port is None else ["--ui-port", str(self.ui_port)]
        if self._db_filename is not None:
            # Measured: 1.8 times the workflows per second of the default, and still whole after a kill.
            command += ["--db-filename", self._db_filename]
            command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        return command

    def is_ready(self) -> bool:
        # The port accepts some 30 ms before the server answers; this request goes through all of it, to the
        # database and back, and a workflow started right after it has never been refused.
        return probes.http_succeeds(self._http_port, "/api/v1/namespaces/default")


class SidecarProcess(ChildProcess):
    """`memsidecar serve` with settings from the environment."""

    stop_limit_s = SIDECAR_STOP_LIMIT_S
    ready_sign = "its port does not accept connections"

    def __init__(
        self,
        *,
        port: int,
        http_port: int,
        settings: Mapping[str, str],
        on_line: Callable[[str], None] = ignore,
        on_end: Callable[[ChildProcess], None] = ignore,
    ) -> None:
        """`settings` are environment variables (`MEMSIDECAR_…`); the two ports need not be among them."""
        env = {
            **settings,
            "MEMSIDECAR_LISTEN": f"{LOOPBACK}:{port}",
            "MEMSIDECAR_HTTP_LISTEN": f"{LOOPBACK}:{http_port}",
            "PYTHONUNBUFFERED": "1",
        }
        super().__init__("sidecar", env=env, on_line=on_line, on_end=on_end)
        # Workers start side by side, and a machine may have fewer cores than that.
        self.ready_limit_s = READY_LIMIT_S * int(settings.get("MEMSIDECAR_WORKERS", 1))
        self.port = port
        self.http_port = http_port

    @property
    def url(self) -> str:
        """Address for Redis clients."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def metrics_url(self) -> str:
        """What Prometheus reads."""
        return f"http://{LOOPBACK}:{self.http_port}/metrics"

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "sidecar", "serve"]

    def is_ready(self) -> bool:
        return probes.accepts(self.port)


class WorkerProcess(ChildProcess):
    """`memsidecar worker` with settings from the environment."""

    stop_limit_s = WORKER_STOP_LIMIT_S
    ready_limit_s = 20.0
    """Longer than the others: before it polls, it waits for a Temporal that may still be starting."""

    ready_sign = f"it did not print '{WORKER_READY_LINE}', so it has not reached Temporal"

    def __init__(
        self,
        *,
        settings: Mapping[str, str],
        on_line: Callable[[str], None] = ignore,
        on_end: Callable[[ChildProcess], None] = ignore,
    ) -> None:
        """`settings` are environment variables (`MEMSIDECAR_…`)."""
        super().__init__("worker", env={**settings, "PYTHONUNBUFFERED": "1"}, on_line=on_line, on_end=on_end)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "sidecar", "worker"]

    def is_ready(self) -> bool:
        return self.has_printed(WORKER_READY_LINE)
