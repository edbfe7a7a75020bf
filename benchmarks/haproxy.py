"""HAProxy in TCP mode, where it is installed: what forwarding costs when nobody looks at the bytes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sidecar.dev import probes
from sidecar.dev.ports import LOOPBACK
from sidecar.dev.processes import ChildProcess


def maybe_find_haproxy() -> Path | None:
    """Return the haproxy on PATH, or None."""
    found = shutil.which("haproxy")
    return None if found is None else Path(found).absolute()


class HaproxyServer(ChildProcess):
    """HAProxy before one Redis. One thread, because memsidecar has one too."""

    ready_sign = "its port does not accept connections"

    def __init__(self, *, program: Path, port: int, redis_port: int, directory: Path) -> None:
        """`directory` must exist; the configuration is written there."""
        super().__init__("haproxy")
        self.port = port
        self._program = program
        self._configuration = directory / "haproxy.cfg"
        self._redis_port = redis_port

    def command(self) -> Sequence[str | Path]:
        self._configuration.write_text(
            "global\n"
            "    nbthread 1\n"
            "defaults\n"
            "    mode tcp\n"
            "    timeout connect 5s\n"
            "    timeout client 5m\n"
            "    timeout server 5m\n"
            f"listen redis\n    bind {LOOPBACK}:{self.port}\n    server redis {LOOPBACK}:{self._redis_port}\n",
            encoding="utf-8",
        )
        return [self._program, "-db", "-q", "-f", self._configuration]

    def is_ready(self) -> bool:
        return probes.accepts(self.port)
