"""CPU time of other processes. Rates suffer when a machine is shared; CPU time per request hardly does."""

from __future__ import annotations

import os
from pathlib import Path


def processor_seconds(pid: int) -> float | None:
    """Return the CPU time that a process has used so far, all threads, user and system; None where nobody can tell.

    Only Linux tells it without another package. Its clock ticks every 10 ms, so short windows are coarse.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets. After it come state, ten numbers, then user and system time (proc(5)).
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
