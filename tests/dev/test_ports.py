"""Free ports, and ports that only look free or busy."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sidecar.dev.ports import CHOICE, LOOPBACK, free_port, is_free, port_or_free


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_a_free_port_can_be_listened_on() -> None:
    """What `free_port` returns is a port on which a server starts."""
    port = free_port()
    assert is_free(port)
    socket.create_server((LOOPBACK, port)).close()


def test_no_port_is_handed_out_twice() -> None:
    """Two servers that are started side by side are never told the same port."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)


def test_a_port_is_none_that_a_client_can_get() -> None:
    """The kernel gives clients ports of their own range, at any moment; none of these is handed out."""
    assert all(free_port() in CHOICE for _ in range(20))


def test_a_port_somebody_listens_on_is_not_free(listener: socket.socket) -> None:
    """A taken port is replaced by a free one; a free one is kept."""
    taken = port_of(listener)
    assert not is_free(taken)
    replacement = port_or_free(taken)
    assert replacement != taken
    assert port_or_free(replacement) == replacement


def test_a_listener_on_all_addresses_takes_the_port_too() -> None:
    """A server on 0.0.0.0 occupies the port of 127.0.0.1."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(port_of(server))


def test_connections_winding_down_do_not_take_a_port(listener: socket.socket) -> None:
    """Right after a server has closed its connections and gone, its port is free again."""
    port = port_of(listener)
    with socket.create_connection((LOOPBACK, port)) as client:
        accepted, _ = listener.accept()
        # The side that closes first keeps the connection's state, here the server's.
        accepted.close()
        assert client.recv(1) == b""
    listener.close()
    assert is_free(port)
