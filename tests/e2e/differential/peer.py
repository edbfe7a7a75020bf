"""A client that is nothing but a socket: what it sends is what it was told, what it hears is kept byte by byte."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from sidecar.dev.ports import LOOPBACK
from tests.e2e.differential.wire import NoReply, reply_end

LIMIT_S = 30.0
"""How long anything may take that Redis does in milliseconds; after it the two ways differ."""

READ_BYTES = 1 << 20
"""Read at a time: the big values of the corpus come in a few pieces."""

Ignore = Callable[[bytes], bool]


class Peer:
    """One connection. `ignore` tells the replies that do not count: the lines a MONITOR gets about fences."""

    def __init__(self, port: int, ignore: Ignore | None = None) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), timeout=LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._ignore = ignore
        self._pending = bytearray()
        self._strange = False
        self.replies: list[bytes] = []
        self.ended = False
        self.left = False
        self.half_closed = False

    @property
    def rest(self) -> bytes:
        """What came after the last whole reply."""
        return bytes(self._pending)

    @property
    def between_replies(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self._pending or self._strange or self.ended

    @property
    def listening(self) -> bool:
        """Whether more can come."""
        return not self.ended and not self.left

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send `data`; a connection that Redis has closed takes it without a word, as the network does."""
        left = memoryview(data)
        while left and self.listening:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                # Redis may wait for its replies to be read before it reads on.
                ready, writable, _ = select.select([self], [self], [], LIMIT_S)
                if ready:
                    self.receive()
                elif not writable:
                    raise TimeoutError(f"{len(left)} bytes were not taken within {LIMIT_S:g} s") from None
            except (BrokenPipeError, ConnectionResetError):
                return  # what came before can still be read, and the end comes with it

    def receive(self) -> None:
        """Read what is there, without waiting."""
        while self.listening:
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
            self._pending += data
        self._cut()

    def _cut(self) -> None:
        start = 0
        try:
            while not self._strange and (end := reply_end(self._pending, start)) is not None:
                reply = bytes(self._pending[start:end])
                start = end
                if self._ignore is None or not self._ignore(reply):
                    self.replies.append(reply)
        except NoReply:
            self._strange = True
        del self._pending[:start]

    def half_close(self) -> None:
        """Send nothing more."""
        self.half_closed = True
        if self.listening:
            with suppress(OSError):  # Redis was first, which the end of the stream will tell
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Be gone."""
        self.left = True
        self._socket.close()

    def ask(self, *words: bytes) -> bytes:
        """Send one request and return its reply: for the connections that keep order, not for those of a sequence.

        Raises:
            TimeoutError: no reply came.
        """
        asked = len(self.replies)
        self.send(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        if not until([self], lambda: len(self.replies) > asked or self.ended) or self.ended:
            raise TimeoutError(f"no reply to {words!r} within {LIMIT_S:g} s")
        return self.replies.pop()


def until(peers: Iterable[Peer], condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Read `peers` until `condition` holds; False if it does not within `limit_s`."""
    watched = [peer for peer in peers if peer.listening]
    deadline = time.monotonic() + limit_s
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if not watched:
            return condition()
        ready, _, _ = select.select(watched, [], [], left)
        for peer in ready:
            peer.receive()
        watched = [peer for peer in watched if peer.listening]
    return True
