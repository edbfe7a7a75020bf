"""The sockets on which clients connect: opened, closed and opened again around clients that stay."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sidecar.dev.ports import free_port
from sidecar.net.acceptor import Acceptor
from sidecar.net.client_tls import ClientTls
from sidecar.net.listener import KEEPALIVE_S, Listener
from tests.support.certificates import Authority
from tests.support.waiting import eventually


class Echo(asyncio.Protocol):
    """Answers with what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


Make = Callable[..., Listener]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Factory of listeners, closed at the end."""
    made: list[Listener] = []

    def listener(
        address: str = "127.0.0.1:0", accept: Callable[[], asyncio.Protocol] | Acceptor = Echo, **more: object
    ) -> Listener:
        made.append(Listener(accept, address=address, **more))  # type: ignore[arg-type]
        return made[-1]

    yield listener
    for each in made:
        await each.close()


@pytest.fixture
def unix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A socket's path has about a hundred bytes; pytest's directories are longer on some machines.
    monkeypatch.chdir(tmp_path)
    return Path("sidecar.sock")


def mode(path: Path) -> int | None:
    """Rights on a file; None where there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"hello")
    async with asyncio.timeout(5):
        return await reader.readexactly(5) == b"hello"


async def served(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a client that connects now is answered; False when it is refused."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    answered = await echo(reader, writer)
    writer.close()
    return answered


async def test_closing_and_opening(make: Make) -> None:
    """While it is closed clients are refused; those that are connected stay; the chosen port is kept."""
    listener = make()
    port = await listener.open()
    stays = await asyncio.open_connection("127.0.0.1", port)
    assert await echo(*stays)
    for _ in range(3):
        await listener.close()
        assert not await served(port)
        assert await echo(*stays)
        assert await listener.open() == port
        assert await served(port)
    assert await echo(*stays)


async def test_doing_it_twice(make: Make) -> None:
    """Opening what is open and closing what is closed changes nothing, also at the same time."""
    listener = make()
    await listener.close()
    ports = await asyncio.gather(listener.open(), listener.open(), listener.open())
    assert len(set(ports)) == 1
    assert await served(ports[0])
    await asyncio.gather(listener.close(), listener.close())
    assert not await served(ports[0])
    await asyncio.gather(listener.open(), listener.close(), listener.open())
    assert await served(ports[0])


async def test_a_taken_port(make: Make) -> None:
    """A port that somebody has is an error that names the address; when it is free, opening works."""
    first = make()
    port = await first.open()
    second = make(f"127.0.0.1:{port}")
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use") as caught:
        await second.open()
    assert caught.value.errno == errno.EADDRINUSE
    await first.close()
    assert await second.open() == port
    assert await served(port)


async def test_an_address_of_another_machine(make: Make) -> None:
    """An address that is not this machine's is an error that names it."""
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:7: "):
        await make("192.0.2.1:7").open()


def test_a_malformed_address() -> None:
    """An address without a port is refused at once."""
    with pytest.raises(ValueError, match="'localhost' is not host:port"):
        Listener(Echo, address="localhost")


async def test_a_name(make: Make) -> None:
    """Every address of a name is listened on, at one port."""
    port = await make("localhost:0").open()
    found = await asyncio.get_running_loop().getaddrinfo("localhost", port, type=socket.SOCK_STREAM)
    usable = [where[0] for _, _, _, _, where in found if where[0] != "::1" or has_ipv6()]
    assert usable
    for host in usable:
        assert await served(port, str(host))


def has_ipv6() -> bool:
    """Whether this machine has the IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_ipv6(make: Make) -> None:
    """An IPv6 address is listened on where the machine has one, and is an error where it has none."""
    listener = make("[::1]:0")
    if has_ipv6():
        assert await served(await listener.open(), "::1")
    else:
        with pytest.raises(OSError, match=r"cannot listen on \[::1\]:0: "):
            await listener.open()


async def test_exposed(make: Make, unix: Path) -> None:
    """A loopback address and a Unix socket are for this machine only."""
    assert not await make(unix_socket=unix).exposed()
    assert await make("0.0.0.0:0").exposed()


async def test_options_of_accepted_connections(make: Make) -> None:
    """Each connection sends without delay, and the kernel asks after five silent minutes whether the client lives."""
    accepted: list[Echo] = []

    def accept() -> Echo:
        accepted.append(Echo())
        return accepted[-1]

    await asyncio.open_connection("127.0.0.1", await make(accept=accept).open())
    await eventually(lambda: accepted and hasattr(accepted[0], "transport"))
    with socket.socket(fileno=os.dup(accepted[0].transport.get_extra_info("socket").fileno())) as raw:
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == KEEPALIVE_S // 3


async def test_unix_socket(make: Make, unix: Path) -> None:
    """A Unix socket is served beside the port, with its mode, and its file goes when the listener closes."""
    listener = make(unix_socket=unix, unix_socket_mode=0o750)
    for _ in range(2):
        port = await listener.open()
        assert mode(unix) == 0o750
        reader, writer = await asyncio.open_unix_connection(unix)
        assert await echo(reader, writer)
        assert await served(port)
        await listener.close()
        assert mode(unix) is None
        assert await echo(reader, writer)
        writer.close()


async def test_all_or_nothing(make: Make, unix: Path) -> None:
    """Where one of the places cannot be had, the others are not listened on either."""
    port = free_port()
    unix.mkdir()  # noqa: ASYNC240  # takes no time
    with pytest.raises(OSError, match="it exists and is no socket"):
        await make(f"127.0.0.1:{port}", unix_socket=unix).open()
    assert not await served(port)
    unix.rmdir()  # noqa: ASYNC240
    other = make()
    with pytest.raises(OSError, match="already in use"):
        await make(f"127.0.0.1:{await other.open()}", unix_socket=unix).open()
    assert mode(unix) is None


async def test_tls(make: Make, unix: Path, tmp_path: Path) -> None:
    """With certificates the port speaks TLS, after each opening, and the Unix socket does not."""
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    listener = make(unix_socket=unix, tls=ClientTls(issued.cert, issued.key))
    for _ in range(2):
        port = await listener.open()
        assert await echo(*await asyncio.open_connection("localhost", port, ssl=authority.client_context()))
        assert await echo(*await asyncio.open_unix_connection(unix))
        await listener.close()


async def test_handshakes_under_way_are_finished(make: Make, tmp_path: Path) -> None:
    """Who is in the middle of a handshake when the listener closes is connected all the same."""
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    listener = make(tls=ClientTls(issued.cert, issued.key))
    port = await listener.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)
    await listener.close()
    await writer.start_tls(authority.client_context(), server_hostname="localhost")
    assert await echo(reader, writer)
    writer.close()


async def test_a_check_leaves_nothing(make: Make, unix: Path) -> None:
    """A check of places that are free leaves them free; of one that is taken it says what `open` would."""
    port = free_port()
    listener = make(f"127.0.0.1:{port}", unix_socket=unix)
    await listener.check()
    assert mode(unix) is None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await listener.open() == port
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        await make(f"127.0.0.1:{port}").check()
    with pytest.raises(OSError, match="another process answers there"):
        await make(unix_socket=unix).check()


async def test_an_acceptor_gets_the_sockets(make: Make, unix: Path) -> None:
    """Where somebody accepts instead, the clients of both places come as sockets; after `close` nobody comes."""
    taken: list[socket.socket] = []
    listener = make(accept=Acceptor(has_room=lambda: True, take=taken.append), unix_socket=unix)
    port = await listener.open()
    _, by_tcp = await asyncio.open_connection("127.0.0.1", port)
    _, by_unix = await asyncio.open_unix_connection(unix)
    await eventually(lambda: len(taken) == 2)
    assert {client.family for client in taken} == {socket.AF_INET, socket.AF_UNIX}
    await listener.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    by_tcp.close()
    by_unix.close()
    for client in taken:
        client.close()
