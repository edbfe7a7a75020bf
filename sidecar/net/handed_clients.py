"""Where clients come from in a process of many: a supervisor accepts them and hands over their sockets.

It stands where `gate` and `listener` stand in a process that is alone; `worker_link` is the supervisor's end, and
describes what goes over the two sockets. Clients are served here like any other, TLS included: from the handshake on
the supervisor has no part in them.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.net.client_tls import ClientTls
from sidecar.net.worker_link import MAX_LINE_BYTES, MAX_ON_THE_WAY

COUNT_INTERVAL_S = 0.25
"""How often we look who has left, so that the supervisor knows who has fewest; 0.06 ms for a thousand clients."""


class HandedClients:
    """Serves the clients that come over a socket, and answers the supervisor.

    Args:
        clients: descriptor over which clients come.
        talk: descriptor over which the supervisor talks.
        accept: makes the protocol of a client; with TLS it is called after the handshake.
        tls: certificates for those who came by TCP; None: plain TCP. A Unix socket is always plain.
        report: what to tell the supervisor when it asks; must not raise.
        reload: reads anew what can change.
        orphaned: called when the supervisor has gone.
    """

    def __init__(
        self,
        clients: int,
        talk: int,
        accept: Callable[[], asyncio.Protocol],
        *,
        tls: ClientTls | None,
        report: Callable[[], Awaitable[dict[str, Any]]],
        reload: Callable[[], None],
        orphaned: Callable[[], None],
    ) -> None:
        self._clients = socket.socket(fileno=clients)
        self._clients.setblocking(False)
        self._talk = socket.socket(fileno=talk)
        for inherited in (self._clients, self._talk):
            inherited.set_inheritable(False)  # a child of ours that held one would hide our end from the supervisor
        self._plain = accept
        self._accept = accept if tls is None else tls.protect(accept)
        self._report = report
        self._reload = reload
        self._orphaned = orphaned
        self._loop = asyncio.get_running_loop()
        self._writer: asyncio.StreamWriter | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._connected_to: set[asyncio.Transport] = set()
        self._taken = 0
        self._connected = asyncio.Event()
        self._first: asyncio.Future[int] = self._loop.create_future()

    def look(self) -> None:
        """Let the supervisor know that Redis could not be reached for a client."""
        self._say({"missed": True})

    async def first(self) -> int:
        """Wait until clients can come. Return 0: the port is the supervisor's."""
        return await asyncio.shield(self._first)

    async def take(self) -> None:
        """Take clients, until cancelled, once `talk` runs."""
        await self._connected.wait()
        self._loop.add_reader(self._clients, self._take_waiting)
        self._say({"up": True})
        self._first.set_result(0)
        while True:
            await asyncio.sleep(COUNT_INTERVAL_S)
            left = {client for client in self._connected_to if client.is_closing()}
            if left:
                self._connected_to -= left
                self._tell()

    async def talk(self) -> None:
        """Answer the supervisor until it goes, and say so then."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._talk, limit=MAX_LINE_BYTES)
        self._connected.set()
        try:
            while line := await reader.readline():
                if line == b"reload\n":
                    self._reload()
                elif line == b"report\n":
                    self._say({"report": await self._report()})
        except OSError:
            pass  # it has gone with a part of its words unread
        self._orphaned()

    async def close(self) -> None:
        """Take those who are on their way, and nobody from then on."""
        if self._clients.fileno() >= 0:
            self._loop.remove_reader(self._clients)
            self._take_waiting()
            self._clients.close()
        if self._connecting:
            await asyncio.wait(set(self._connecting))

    def _take_waiting(self) -> None:
        # One byte at a time, so that what comes with a byte is one client's socket.
        for _ in range(MAX_ON_THE_WAY):
            try:
                byte, descriptors, _, _ = socket.recv_fds(self._clients, 1, 1)
            except BlockingIOError:
                break
            except OSError:
                byte, descriptors = b"", []
            if not byte:
                self._loop.remove_reader(self._clients)  # `talk` sees the supervisor's end, too
                break
            for descriptor in descriptors:
                self._serve(socket.socket(fileno=descriptor))

    def _serve(self, client: socket.socket) -> None:
        client.setblocking(False)
        create = self._plain if client.family == socket.AF_UNIX else self._accept
        task = self._loop.create_task(self._connect(create, client), name="handed-client")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, create: Callable[[], asyncio.Protocol], client: socket.socket) -> None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(create, client)
            self._connected_to.add(transport)
        except OSError:
            client.close()  # the client has gone already
        finally:
            self._taken += 1  # not before: until it counts among the clients, it is on its way
            self._tell()

    def _tell(self) -> None:
        self._say({"taken": self._taken, "clients": len(self._connected_to)})

    def _say(self, what: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(what, separators=(",", ":")).encode() + b"\n")
