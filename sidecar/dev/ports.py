"""Which TCP ports of 127.0.0.1 are free.

An answer can be out of date a moment later: nobody can reserve a port for another process. So a server that
still finds its port taken says so itself, and `processes` shows its words.
"""

from __future__ import annotations

import random
import socket
from threading import Lock

LOOPBACK = "127.0.0.1"

CHOICE = range(15_000, 32_000)
"""Where ports are drawn from. Linux gives the ports from 32,768 on to clients, macOS those from 49,152 on: a port that
the kernel names as free may be some connection's end a moment later, and a server can then not listen on it."""

ATTEMPTS = 200
"""How often a port is drawn; where hundreds of servers run, nearly every one is free."""

_draw = random.SystemRandom()  # tests that seed chance must not be given each other's ports
_handed_out: set[int] = set()
_handing_out = Lock()


def free_port() -> int:
    """Return a port that nobody listens on and that this process has not been given before."""
    with _handing_out:
        port = next(filter(_is_to_be_had, (_draw.choice(CHOICE) for _ in range(ATTEMPTS))), None) or _any_port()
        # Without this, two servers that start side by side could be told the same port: it is free until the first
        # one has opened it.
        _handed_out.add(port)
        return port


def _is_to_be_had(port: int) -> bool:
    return port not in _handed_out and is_free(port)


def _any_port() -> int:
    """Return what the kernel names, where chance did not help."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
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
