"""What `memsidecar dev` shows once everything runs: what runs where, and lines to paste.

Pure text; `screen` prints it. There is no frame around it, so that a line can be copied with a triple click.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from sidecar import __version__
from sidecar.dev.plan import DevPlan
from sidecar.dev.ports import LOOPBACK


def title() -> str:
    """Return the first line."""
    return f"memsidecar {__version__} runs. Ctrl-C stops everything."


def rows(plan: DevPlan, *, directory: Path, worker_ready: bool) -> list[tuple[str, str]]:
    """Return what runs where as pairs of a name and its place, in reading order."""
    table = [("Sidecar", f"{LOOPBACK}:{plan.port}  (any Redis client)")]
    started = f"  (started: {plan.redis.program})" if plan.redis else "  (yours)"
    table.append(("Redis", without_secrets(plan.redis_url) + started))
    if plan.temporal_address is not None:
        started = f"  (started: {plan.temporal.program})" if plan.temporal else "  (yours)"
        table.append(("Temporal", plan.temporal_address + started))
    if plan.temporal is not None:
        table.append(("Web UI", f"http://{LOOPBACK}:{plan.temporal.ui_port}"))
    table.append(("Flushes", _flushes(plan, worker_ready)))
    table.append(("Metrics", f"http://{LOOPBACK}:{plan.metrics_port}/metrics"))
    if plan.config is not None:
        table.append(("Memories", str(plan.config)))
    if plan.redis is not None or plan.temporal is not None:
        gone = "in memory only, gone at the end; --data DIR keeps it"
        table.append(("Data", f"{directory}  (kept)" if plan.keeps_data else gone))
    return table


def lines_to_paste(plan: DevPlan, *, redis_cli: str) -> list[str]:
    """Return shell commands that show the sidecar at work."""
    cli = f"{redis_cli} -p {plan.port}"
    return [
        f'{cli} MEMAPPEND chat:42 user "Where is my parcel?" assistant "It left Rotterdam at 14:05."',
        f"{cli} MEMREAD chat:42 TOKENS 2000",
        f"{cli} MEMFLUSH chat:42 FORCE WAIT 10000",
        f"{cli} MEMINFO chat:42",
        f"{cli} SET plain works",
    ]


def without_secrets(url: str) -> str:
    """Return `url` without user, password and query, which may hold a password too.

    Where it cannot be told what is a password, for example one with a bare `?` in it, only the scheme is left.
    """
    parts = urlsplit(url)
    if "@" in url and "@" not in parts.netloc:
        return f"{parts.scheme}://…"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _flushes(plan: DevPlan, worker_ready: bool) -> str:
    if plan.temporal_address is None:
        return "by the sidecar itself (local engine)"
    if worker_ready:
        return "by Temporal, on the worker"
    return "by Temporal; the worker has not reached it yet and keeps trying"
