"""nutcracker (twemproxy), where it is installed: what forwarding costs a proxy in C that reads every request and sends
those of all clients on one connection."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sidecar.dev import probes
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.processes import ChildProcess


def maybe_find_nutcracker() -> Path | None:
    """Return the nutcracker on PATH, or where Debian puts it, or None."""
    found = shutil.which("nutcracker") or shutil.which("nutcracker", path="/usr/sbin")
    return None if found is None else Path(found).absolute()


class NutcrackerServer(ChildProcess):
    """nutcracker before one Redis. It has one thread, as memsidecar has."""

    ready_sign = "its port does not accept connections"

    def __init__(self, *, program: Path, port: int, redis_port: int, directory: Path) -> None:
        """`directory` must exist; configuration and log are written there."""
        super().__init__("nutcracker")
        self.port = port
        self._program = program
        self._directory = directory
        self._redis_port = redis_port
        self._stats_port = free_port()

    def command(self) -> Sequence[str | Path]:
        configuration = self._directory / "nutcracker.yml"
        configuration.write_text(
            "redis:\n"
            f"  listen: {LOOPBACK}:{self.port}\n"
            "  redis: true\n"
            # Its defaults, written down: one connection, opened in advance, and a server that never leaves the pool.
            "  server_connections: 1\n"
            "  preconnect: true\n"
            "  auto_eject_hosts: false\n"
            f"  servers:\n    - {LOOPBACK}:{self._redis_port}:1\n",
            encoding="utf-8",
        )
        files: list[str | Path] = ["-c", configuration]
        files += ["-o", self._directory / "nutcracker.log", "-p", self._directory / "nutcracker.pid"]
        # Its statistics would be served to everybody, on a fixed port.
        return [self._program, *files, "-a", LOOPBACK, "-s", str(self._stats_port), "-v", "2"]

    def is_ready(self) -> bool:
        return probes.accepts(self.port)
