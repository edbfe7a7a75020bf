"""Which TCP ports of 127.0.0.1 are free.

An answer can be out of date a moment later: nobody can reserve a port for another process. So a server that
still finds its port taken says so itself, and `processes` shows its words.
"""

from __future__ import annotations

import socket
from threading import Lock

LOOPBACK = "127.0.0.1"

ATTEMPTS = 50
"""How often the kernel is asked for a port that was not handed out before; it rarely names one twice."""

_handed_out: set[int] = set()
_handing_out = Lock()


def free_port() -> int:
    """Return a port that nobody listens on and that this process has not been given before."""
    with _handing_out:
        for _ in range(ATTEMPTS):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind((LOOPBACK, 0))
                port: int = probe.getsockname()[1]
            if port not in _handed_out:
                break
        # Without this, two servers that start side by side could be told the same port: the kernel sees it as
        # free until the first one has opened it.
        _handed_out.add(port)
        return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now. False also for a port that we have no right to."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier server that are still winding down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def port_or_free(preferred: int) -> int:
    """Return `preferred` if nobody listens there, else a free port."""
    return preferred if is_free(preferred) else free_port()
