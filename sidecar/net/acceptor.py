"""Accepts clients for other processes: each socket goes on as it is, without a byte read from it.

The counterparts are `listener`, which binds the places, and `worker_link`, which gives the sockets away. While nobody
has room nothing is accepted: clients wait in the kernel's queue, as they do in front of a process that is busy.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""The system has nothing left for one more connection; asking again at once would only burn the processor."""

EXHAUSTED_REST_S = 1.0
"""asyncio's own rest after such an error."""

log = structlog.get_logger(__name__)


class Acceptor:
    """What a listener lets serve its sockets, instead of making protocols.

    Args:
        has_room: asked before each client; False keeps it in the kernel's queue until `look` is called.
        take: gets each client's socket and owns it.
    """

    def __init__(self, *, has_room: Callable[[], bool], take: Callable[[socket.socket], None]) -> None:
        self.has_room = has_room
        self.take = take
        self._places: set[Place] = set()

    def serve(self, bound: socket.socket, backlog: int) -> Place:
        """Listen on a bound socket, which is owned from now on."""
        place = Place(self, bound, backlog, self._places.discard)
        self._places.add(place)
        return place

    def look(self) -> None:
        """Take note that there may be room again."""
        for place in list(self._places):
            place.accept()


class Place:
    """One listening socket."""

    def __init__(
        self, acceptor: Acceptor, bound: socket.socket, backlog: int, on_closed: Callable[[Place], None]
    ) -> None:
        self._acceptor = acceptor
        self._bound = bound
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._watched = self._open = True
        bound.setblocking(False)
        bound.listen(backlog)
        self._loop.add_reader(bound, self.accept)

    def accept(self) -> None:
        """Hand on whoever waits, as long as there is room."""
        while self._open:
            if not self._acceptor.has_room():
                self._watch(False)
                return
            try:
                client, _ = self._bound.accept()
            except BlockingIOError:
                self._watch(True)
                return
            except OSError as problem:
                if problem.errno not in EXHAUSTED:
                    continue  # the client has gone already: ECONNABORTED and its like
                log.error("clients.cannot_accept", why=problem.strerror)
                self._watch(False)
                self._loop.call_later(EXHAUSTED_REST_S, self.accept)
                return
            self._acceptor.take(client)

    def close(self) -> None:
        """Stop to listen. Whoever still waits in the queue is refused."""
        if self._open:
            self._watch(False)
            self._open = False
            self._bound.close()
            self._on_closed(self)

    def _watch(self, wanted: bool) -> None:
        if wanted and not self._watched:
            self._loop.add_reader(self._bound, self.accept)
        elif self._watched and not wanted:
            self._loop.remove_reader(self._bound)
        self._watched = wanted
