"""compose.yaml as its reader sees it: what `docker compose` would start, and how that is started on this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sidecar.dev.ports import LOOPBACK
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import TemporalServer

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "compose.yaml"

_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def composition() -> dict[str, Any]:
    """Return the file with the defaults of its variables, as it is where none of them is set."""
    found: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\2", FILE.read_text()))
    return found


def mounts(service: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Return the files and folders of ours that a service sees, and where."""
    volumes = service.get("volumes", ())
    return [(ROOT / each["source"], each["target"]) for each in volumes if each["type"] == "bind"]


class Served(ChildProcess):
    """The command of a service, on this machine.

    Args:
        service: of the file.
        moved: names and ports of the composition, and what they are here.
        ready: whether it is there.
    """

    ready_limit_s = 60.0
    stop_limit_s = 30.0

    def __init__(
        self, name: str, service: Mapping[str, Any], moved: Mapping[str, str], ready: Callable[[Served], bool]
    ) -> None:
        self._ready = ready
        self._words = [sys.executable, "-m", "sidecar", *service["command"]]
        everything = {**moved, **{target: str(source) for source, target in mounts(service)}}
        said = {key: _moved(value, everything) for key, value in service["environment"].items()}
        # Nothing that the machine's own environment says of memsidecar or Temporal.
        kept = {key: "" for key in os.environ if key.startswith("TEMPORAL_")}
        super().__init__(name, env={**kept, **said, "PYTHONUNBUFFERED": "1"})

    def command(self) -> Sequence[str | Path]:
        return self._words

    def is_ready(self) -> bool:
        return self._ready(self)


class ServedTemporal(TemporalServer):
    """The command of the service `temporal`, on ports of this machine's."""

    def command(self) -> Sequence[str | Path]:
        said = [_moved(word, {"0.0.0.0": LOOPBACK}) for word in composition()["services"]["temporal"]["command"]]
        ours = super().command()
        ports = [word for option in ("--port", "--http-port", "--metrics-port") for word in _with_value(ours, option)]
        return [self.program, *said, *ports, "--headless"]


def _with_value(words: Sequence[str | Path], option: str) -> Sequence[str | Path]:
    place = words.index(option)
    return words[place : place + 2]


def _moved(value: str, moved: Mapping[str, str]) -> str:
    for there, here in moved.items():
        value = value.replace(there, here)
    return value
