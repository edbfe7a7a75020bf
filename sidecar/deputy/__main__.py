"""Starts the deputy's process behind everybody else on the machine: even loading its modules takes a second."""

from __future__ import annotations

import os
import sys

NICENESS = 10
"""On a machine that is full, the sidecar's event loop gets nine times as much time as this process."""

if __name__ == "__main__":
    os.nice(NICENESS)
    if sys.platform == "linux":
        # Each reply of Redis wakes this process up; so it waits for its turn, and does not push the sidecar aside.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    from sidecar.deputy.process import main

    main()
