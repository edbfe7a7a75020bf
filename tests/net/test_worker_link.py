"""The two ends of what ties a supervisor to a worker, both in one process, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from sidecar.net.handed_clients import HandedClients
from sidecar.net.worker_link import MAX_ON_THE_WAY, WorkerLink
from tests.support.waiting import eventually


class Echo(asyncio.Protocol):
    """Answers with what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Ends:
    """Both, and what they have been told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.answer: Callable[[], Any] = self._at_once
        self.link = WorkerLink(
            on_room=lambda: self.said.append("room"),
            on_missed=lambda: self.said.append("missed"),
            on_report=self.reports.append,
        )
        clients, talk = map(os.dup, self.link.theirs)
        self.link.release()
        self.worker = HandedClients(
            clients,
            talk,
            Echo,
            tls=None,
            report=lambda: self.answer(),
            reload=lambda: self.said.append("reload"),
            orphaned=lambda: self.said.append("orphaned"),
        )
        self.hearing = asyncio.create_task(self.link.run())
        self.talking = asyncio.create_task(self.worker.talk())
        self.taking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self.taking = asyncio.create_task(self.worker.take())
        async with asyncio.timeout(10):
            await self.link.up.wait()

    async def _at_once(self) -> dict[str, Any]:
        return {"number": len(self.reports)}

    def reloaded(self) -> bool:
        """Ask for a reload; return whether an earlier one was heard."""
        self.link.reload()
        return "reload" in self.said

    def client(self) -> socket.socket:
        """Give a client, and return its own side."""
        ours, theirs = socket.socketpair()
        assert self.link.give(ours)
        assert ours.fileno() == -1
        theirs.settimeout(5)
        return theirs

    async def close(self) -> None:
        for task in (self.taking, self.talking, self.hearing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self.worker.close()
        self.link.close()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    await made.close()


async def test_a_client_is_served(ends: Ends) -> None:
    """A client that is given away is answered by the other end, counts as one while it stays, and then no more."""
    await ends.begin()
    client = ends.client()
    assert ends.link.load == 1
    await asyncio.get_running_loop().run_in_executor(None, client.sendall, b"hello")
    assert await asyncio.to_thread(client.recv, 10) == b"hello"
    await eventually(lambda: ends.link.clients == 1)
    assert ends.link.load == 1
    client.close()
    await eventually(lambda: ends.link.load == 0, why="a client that has left is still counted")


async def test_nobody_is_given_before_it_is_up(ends: Ends) -> None:
    """There is room from the moment on in which the process can serve, and the supervisor is told of it."""
    room = [ends.link.has_room]
    await ends.begin()
    room.append(ends.link.has_room)
    assert room == [False, True]
    assert await asyncio.wait_for(ends.worker.first(), 5) == 0
    assert ends.said == ["room"]


async def test_room_for_so_many(ends: Ends) -> None:
    """A process that takes nobody gets no more than `MAX_ON_THE_WAY`; when it has taken them there is room again."""
    await ends.begin()
    assert ends.taking is not None
    clients = []
    while ends.link.has_room:  # without an await, so that nobody is taken meanwhile
        clients.append(ends.client())
    assert len(clients) == ends.link.load == MAX_ON_THE_WAY
    await eventually(lambda: ends.link.has_room)
    await eventually(lambda: ends.link.clients == MAX_ON_THE_WAY)
    for client in clients:
        client.close()


async def test_those_on_the_way_are_taken_at_the_end(ends: Ends) -> None:
    """A process that stops takes whom it was given before, and nobody from then on."""
    await ends.begin()
    assert ends.taking is not None
    first = ends.client()
    ends.taking.cancel()
    await ends.worker.close()
    first.sendall(b"hello")
    assert await asyncio.to_thread(first.recv, 10) == b"hello"
    ours, theirs = socket.socketpair()
    with first, ours, theirs:
        assert not ends.link.give(ours)
        assert ours.fileno() != -1, "a client that could not be given is the giver's to close"


async def test_reports(ends: Ends) -> None:
    """A report comes when it is asked for; who asks while one is under way gets the same."""
    await ends.begin()
    assert all(await asyncio.gather(ends.link.report(5), ends.link.report(5)))
    assert ends.reports == [{"number": 0}]
    assert await ends.link.report(5)
    assert ends.reports[1:] == [{"number": 1}]


async def test_a_report_that_does_not_come(ends: Ends) -> None:
    """After the limit there is none; one that comes late is heard all the same, and asked for only once."""
    late = asyncio.Event()

    async def wait() -> dict[str, Any]:
        await late.wait()
        return {"late": True}

    ends.answer = wait
    await ends.begin()
    assert not await ends.link.report(0.01)
    late.set()
    await eventually(lambda: ends.reports == [{"late": True}])


async def test_words_in_both_directions(ends: Ends) -> None:
    """`reload` reaches the process even before it is up, and that it missed Redis reaches the supervisor."""
    await eventually(ends.reloaded)
    await ends.begin()
    ends.worker.look()
    await eventually(lambda: "missed" in ends.said)


async def test_the_supervisor_goes(ends: Ends) -> None:
    """The process notices that its supervisor has gone."""
    await ends.begin()
    ends.hearing.cancel()
    ends.link.close()
    await eventually(lambda: "orphaned" in ends.said)


async def test_the_process_goes(ends: Ends) -> None:
    """When the process has gone, hearing ends, nobody is given to it any more, and who waits for a report gets none."""
    ends.answer = asyncio.Event().wait
    await ends.begin()
    asked = asyncio.create_task(ends.link.report(30))
    await asyncio.sleep(0)
    ends.talking.cancel()
    ends.worker._writer.close()  # type: ignore[union-attr]  # as the end of the process does it
    await asyncio.wait_for(ends.hearing, 10)
    ends.link.close()
    assert not await asyncio.wait_for(asked, 10)
    assert not ends.link.has_room
