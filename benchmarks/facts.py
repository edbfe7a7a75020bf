"""What a result depends on besides the code: the machine and the versions."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import cast

from benchmarks.stage import Stage
from sidecar import __version__
from sidecar.session import session

_PACKAGES = ("hiredis", "uvloop", "tiktoken")


def facts(stage: Stage) -> dict[str, object]:
    """Return machine and versions, without anything that names the machine or its user."""
    server = cast("dict[str, object]", stage.redis.info("server"))
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "memsidecar": f"{__version__} ({'Python alone' if str(session.__file__).endswith('.py') else 'compiled'})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis": str(server["redis_version"]),
        "packages": {name: found for name in _PACKAGES if (found := _maybe_version(name))},
        "token_engine": _token_engine(stage),
        "haproxy": stage.haproxy is not None,
        "nutcracker": stage.nutcracker is not None,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": _cores(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _maybe_version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None


def _cores() -> int:
    """Return how many cores this process may use, which is less than the machine has in many containers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _token_engine(stage: Stage) -> str:
    """Return what the sidecar counts with, as it says itself."""
    reply = stage.ask("MEMHEALTH")
    pairs = dict(zip(reply[::2], reply[1::2], strict=True))
    counting = pairs.get(b"tokenizer", [])
    return " ".join(part.decode() for part in counting if isinstance(part, bytes)) or "unknown"
