"""Sockets of clients that are accepted for others, while somebody has room."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from sidecar.net.acceptor import Acceptor, Place
from tests.support.waiting import eventually


class Taker:
    """Takes clients while it has room."""

    def __init__(self) -> None:
        self.room = 0
        self.taken: list[socket.socket] = []
        self.acceptor = Acceptor(has_room=lambda: len(self.taken) < self.room, take=self.taken.append)

    def listen(self) -> Place:
        self.bound = socket.socket()
        self.bound.bind(("127.0.0.1", 0))
        self.port: int = self.bound.getsockname()[1]
        return self.acceptor.serve(self.bound, 16)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)


@pytest.fixture
def taker() -> Iterator[Taker]:
    made = Taker()
    yield made
    for client in made.taken:
        client.close()


async def test_clients_wait_for_room(taker: Taker) -> None:
    """Without room nobody is accepted, and nothing that a client sends is read; with room they come in their order."""
    place = taker.listen()
    clients = [taker.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    await asyncio.sleep(0)
    assert taker.taken == []
    taker.room = 3
    taker.acceptor.look()
    await eventually(lambda: len(taker.taken) == 3)
    taker.room = 4
    taker.acceptor.look()
    await eventually(lambda: len(taker.taken) == 4)
    assert [taken.recv(10) for taken in taker.taken] == [b"0", b"1", b"2", b"3"]
    place.close()
    for client in clients:
        client.close()


async def test_who_waits_is_not_asked_about_again_and_again(taker: Taker) -> None:
    """While there is no room the loop sleeps, although clients wait."""
    place = taker.listen()
    asked = 0

    def no_room() -> bool:
        nonlocal asked
        asked += 1
        return False

    taker.acceptor.has_room = no_room
    client = taker.connect()
    await eventually(lambda: asked)
    for _ in range(100):
        await asyncio.sleep(0)
    assert asked == 1
    place.close()
    client.close()


async def test_closing(taker: Taker) -> None:
    """After `close` clients are refused, those who still waited lose their connection, and a late look does nothing."""
    place = taker.listen()
    waiting = taker.connect()
    await asyncio.sleep(0)
    place.close()
    place.close()
    taker.room = 10
    taker.acceptor.look()
    with pytest.raises(ConnectionRefusedError):
        taker.connect()
    with pytest.raises(ConnectionResetError):
        waiting.recv(1)
    assert taker.taken == []
    waiting.close()


async def test_without_descriptors(taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process has no descriptor left, that is logged, and the client is taken once there is one again."""
    monkeypatch.setattr("sidecar.net.acceptor.EXHAUSTED_REST_S", 0.1)  # a second would only make the test longer
    place = taker.listen()
    taker.room = 1
    client = socket.socket()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/dev/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        fill = []
        while True:
            try:
                fill.append(os.dup(0))
            except OSError:
                break
        with capture_logs() as logs:
            client.connect(("127.0.0.1", taker.port))
            await eventually(lambda: logs)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in fill:
            os.close(descriptor)
    assert logs[0]["event"] == "clients.cannot_accept"
    await eventually(lambda: taker.taken)
    place.close()
    client.close()
