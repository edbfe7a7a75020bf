"""The supervisor's end of what ties it to one of the processes that serve clients; theirs is `handed_clients`.

Two socket pairs, which the child inherits by number. Over *clients* go the clients' sockets, one byte with one
descriptor each. Over *talk* go lines: `report` and `reload` to the child, and from it JSON objects, `up` once it can
serve, `taken` and `clients` when these have changed, `missed` when it could not reach Redis for a client, and `report`.
The end of *talk* means that the other process has ended, however it did. No client's byte ever comes by here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A report is some 30 kB; labels are bounded, so it cannot grow to this."""

MAX_ON_THE_WAY = 64
"""Clients given to a process that has not taken them. A socket pair's buffer holds some 250, and a process that is
that far behind should get no more: what waits in the kernel's queue can still go to another one."""

CLIENT = b"c"
"""What goes with each socket: on a stream, a descriptor needs a byte to travel with."""


class WorkerLink:
    """What the supervisor knows of a process, and tells it.

    Args:
        on_room: called when it may take clients that it could not take before.
        on_missed: called when it could not reach Redis for a client.
        on_report: gets each report, in the moment in which it is heard.

    Attributes: `up` is set once it can serve clients, `clients` is how many it had when it last said so.
    """

    def __init__(
        self,
        *,
        on_room: Callable[[], None],
        on_missed: Callable[[], None],
        on_report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.up = asyncio.Event()
        self.clients = 0
        self._on_room = on_room
        self._on_missed = on_missed
        self._on_report = on_report
        self._closed = False
        self._given = self._taken = 0
        self._asked: asyncio.Future[bool] | None = None
        self._giving, self._given_to = socket.socketpair()
        self._talking, self._talked_to = socket.socketpair()
        self._giving.setblocking(False)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def theirs(self) -> tuple[int, int]:
        """The descriptors that the process inherits: of clients and of talk. `release` closes them here."""
        return self._given_to.fileno(), self._talked_to.fileno()

    def release(self) -> None:
        """Close the child's ends here, once it has them: only then does its end show."""
        self._given_to.close()
        self._talked_to.close()

    @property
    def has_room(self) -> bool:
        """Whether one more client can be given."""
        return self.up.is_set() and not self._closed and self._given - self._taken < MAX_ON_THE_WAY

    @property
    def load(self) -> int:
        """Clients that it has, and that are on their way."""
        return self.clients + self._given - self._taken

    def give(self, client: socket.socket) -> bool:
        """Give a client away; return False, and leave it as it is, if the process is not there to take it."""
        try:
            socket.send_fds(self._giving, [CLIENT], [client.fileno()])
        except OSError:  # it has ended, which `run` notices; or, with all sockets full, the kernel has no buffer
            return False
        client.close()
        self._given += 1
        return True

    def reload(self) -> None:
        """Tell it to read anew what can change while it runs. One that still starts does it afterwards."""
        self._say(b"reload\n")

    async def report(self, limit_s: float) -> bool:
        """Ask for a report; return whether it has come within the limit."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            self._say(b"report\n")
        asked = self._asked
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(asked)
        return False

    async def run(self) -> None:
        """Hear what it says, until its end."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._talking, limit=MAX_LINE_BYTES)
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self._hear(json.loads(line))

    def close(self) -> None:
        """Let go of it. A process that still runs stops then, as by SIGTERM."""
        self._closed = True
        self._giving.close()
        if self._writer is None:
            self._talking.close()
        else:
            self._writer.close()
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(False)

    def _hear(self, said: dict[str, Any]) -> None:
        if "up" in said:
            self.up.set()
            self._on_room()
        if "taken" in said:
            self._taken, self.clients = said["taken"], said["clients"]
            self._on_room()
        if "missed" in said:
            self._on_missed()
        if "report" in said:
            self._on_report(said["report"])
            if self._asked is not None and not self._asked.done():
                self._asked.set_result(True)

    def _say(self, line: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(line)
