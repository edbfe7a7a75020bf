"""What a process costs, read from /proc: memory, its peak, file descriptors. Linux only."""

from __future__ import annotations

import resource
from pathlib import Path

MEGABYTE = 1024 * 1024

OPEN_FILES = 16_384
"""What thousands of clients need: two descriptors each in the sidecar, one here."""


class Gauges:
    """The gauges of one process of ours."""

    def __init__(self, pid: int) -> None:
        self._directory = Path(f"/proc/{pid}")

    @property
    def memory_bytes(self) -> int:
        """Resident memory now."""
        return self._status("VmRSS")

    @property
    def peak_bytes(self) -> int:
        """Most resident memory since `forget_peak`."""
        return self._status("VmHWM")

    @property
    def files(self) -> int:
        """Open file descriptors."""
        return len(list((self._directory / "fd").iterdir()))

    def forget_peak(self) -> None:
        """Start a new peak at what there is now (5 is the kernel's number for that)."""
        (self._directory / "clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        for line in (self._directory / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise ValueError(f"/proc/*/status has no {name}")


def allow_open_files(wanted: int = OPEN_FILES) -> int:
    """Let this process and its children open that many files, or as many as it may; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(soft, min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
