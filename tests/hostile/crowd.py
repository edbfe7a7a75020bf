"""Many clients at once, as plain sockets: cheap enough for thousands, and nobody reads unless told to."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

CONNECT_LIMIT_S = 30.0
"""Longest time for one connection; the listener's queue is served in milliseconds."""

RECEIVE_BUFFER_BYTES = 4096
"""What a hostile client gives the kernel to hold for it: all the rest stays with the sidecar."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Crowd:
    """Clients of one port. Leaving the context closes them.

    Args:
        port: where to connect.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.members: list[socket.socket] = []
        self.sent_bytes = 0

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def join(self, number: int, *, receive_buffer: int = RECEIVE_BUFFER_BYTES) -> list[socket.socket]:
        """Connect that many more clients and return them."""
        newcomers = [self._connect(receive_buffer) for _ in range(number)]
        self.members += newcomers
        return newcomers

    def push(self, member: socket.socket, data: bytes) -> int:
        """Send what the other side takes now; return how many bytes that were."""
        sent = 0
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError), memoryview(data) as view:
            while sent < len(data):
                sent += member.send(view[sent:])
        self.sent_bytes += sent
        return sent

    def leave(self, *, reset: bool = False) -> None:
        """Close all; with `reset` the connections are not ended but broken."""
        for member in self.members:
            if reset:
                with suppress(OSError):
                    member.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            member.close()
        self.members.clear()

    def _connect(self, receive_buffer: int) -> socket.socket:
        member = socket.socket()
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        member.settimeout(CONNECT_LIMIT_S)
        member.connect(("127.0.0.1", self._port))
        member.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member.setblocking(False)
        return member
