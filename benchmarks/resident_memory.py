"""Memory of other processes, as the kernel counts it. Only Linux tells it without another package."""

from __future__ import annotations

from pathlib import Path

KB = 1_024
"""What the kernel calls kB."""


def resident_bytes(pid: int) -> int | None:
    """Return the memory that a process holds in RAM (Rss), pages that it shares included; None where nobody can tell.

    From smaps_rollup, because the quick figures of statm and status are off by up to some hundred kB (proc(5)).
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * KB for line in lines if line.startswith("Rss:")), None)
