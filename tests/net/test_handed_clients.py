"""A process's end of its tie to the supervisor; what goes over both ends is in test_worker_link."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidecar.net.client_tls import ClientTls
from sidecar.net.handed_clients import HandedClients
from tests.net.test_worker_link import Echo
from tests.support.certificates import Authority
from tests.support.waiting import eventually


def nothing() -> None:
    """Take note of nothing."""


async def report() -> dict[str, Any]:
    return {}


class Tied:
    """A process's end, and the bare sockets of the other one."""

    def __init__(self, *, tls: ClientTls | None = None, accept: Callable[[], asyncio.Protocol] = Echo) -> None:
        self.clients, their_clients = socket.socketpair()
        self.talk, their_talk = socket.socketpair()
        self.inherited = [their_clients.detach(), their_talk.detach()]
        for descriptor in self.inherited:
            os.set_inheritable(descriptor, True)
        self.worker = HandedClients(
            self.inherited[0], self.inherited[1], accept, tls=tls, report=report, reload=nothing, orphaned=nothing
        )
        self._tasks = [asyncio.create_task(self.worker.talk()), asyncio.create_task(self.worker.take())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.worker.close()
        self.clients.close()
        self.talk.close()


async def test_children_do_not_inherit_the_tie() -> None:
    """What a process starts does not hold its sockets: it would hide the process's end from the supervisor."""
    tied = Tied()
    assert [os.get_inheritable(descriptor) for descriptor in tied.inherited] == [False, False]
    await tied.close()


async def test_tls_is_for_those_who_came_by_tcp(tmp_path: Path) -> None:
    """With certificates a client by TCP gets a handshake, and one by a Unix socket is served in plain words."""
    authority = Authority(tmp_path)
    issued = authority.issue("localhost")
    tied = Tied(tls=ClientTls(issued.cert, issued.key))
    listening = socket.create_server(("127.0.0.1", 0))
    context = ssl.create_default_context(cafile=authority.ca)
    connecting = asyncio.create_task(
        asyncio.open_connection("127.0.0.1", listening.getsockname()[1], ssl=context, server_hostname="localhost")
    )
    by_tcp = (await asyncio.to_thread(listening.accept))[0]
    socket.send_fds(tied.clients, [b"c"], [by_tcp.fileno()])
    reader, writer = await asyncio.wait_for(connecting, 10)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    ours, theirs = socket.socketpair()
    socket.send_fds(tied.clients, [b"c"], [ours.fileno()])
    theirs.sendall(b"plain")
    assert await asyncio.to_thread(theirs.recv, 10) == b"plain"
    writer.close()
    for each in (listening, by_tcp, ours, theirs):
        each.close()
    await tied.close()


async def test_a_client_that_has_gone_already() -> None:
    """One that left on its way counts as taken, and hinders nobody after it."""
    tied = Tied()
    ours, theirs = socket.socketpair()
    socket.send_fds(tied.clients, [b"c"], [ours.fileno()])
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    socket.send_fds(tied.clients, [b"c"], [ours.fileno()])
    theirs.sendall(b"hello")
    assert await asyncio.to_thread(theirs.recv, 10) == b"hello"
    tied.talk.setblocking(False)
    said = b""

    def all_taken() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += tied.talk.recv(65_536)
        return b'"taken":2,"clients":1}' in said

    await eventually(all_taken)
    ours.close()
    theirs.close()
    await tied.close()
