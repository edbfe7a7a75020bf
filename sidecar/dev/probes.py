"""Questions to a server that is starting: does it answer yet?

Each probe is one short exchange with a limit and returns False for every kind of "not yet"; waiting,
deadlines and the death of the server are the business of `processes`.
"""

from __future__ import annotations

import http.client
import re
import socket

from sidecar.dev.ports import LOOPBACK

PROBE_LIMIT_S = 1.0
"""Longest time for one question. A server that takes longer on loopback is not ready; it is asked again."""

MAX_INFO_BYTES = 64 * 1024
"""Redis's server section is about 1 kB; more than this is no Redis."""

_PROCESS_ID = re.compile(rb"process_id:(\d+)\r\n")


def accepts(port: int) -> bool:
    """Return whether somebody accepts connections on `port`."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=PROBE_LIMIT_S).close()
    except OSError:
        return False
    return True


def redis_answers(port: int, pid: int) -> bool:
    """Return whether the Redis with this process id answers on `port` and has loaded its data.

    The id is checked because another Redis on the same port would answer just as well, while ours is about to
    give up. A Redis that asks for a password is taken at its word.
    """
    received = b""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PROBE_LIMIT_S) as connection:
            connection.sendall(b"PING\r\nINFO server\r\n")
            # PING is refused with -LOADING as long as the data is being read.
            while not (found := _PROCESS_ID.search(received)) and len(received) < MAX_INFO_BYTES:
                chunk = connection.recv(4096)
                received += chunk
                if not chunk or received.startswith(b"-"):
                    return received.startswith(b"-NOAUTH")
    except OSError:
        return False
    return received.startswith(b"+PONG\r\n") and found is not None and int(found[1]) == pid


def http_succeeds(port: int, path: str) -> bool:
    """Return whether GET `path` on `port` is answered with status 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_LIMIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
