"""Opening one connection: the options of its socket, what is said when it fails, and that TLS is never left out."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from sidecar.net.endpoint import Address
from sidecar.net.opening import KEEPALIVE_S, open_connection
from sidecar.net.redis_tls import RedisTls
from tests.net.securing import Collector, listening
from tests.support.certificates import Authority
from tests.support.children import StartRedis
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def ping(where: Address | Path, tls: RedisTls | None = None) -> bytes:
    """Return what comes back for a PING: nothing, if the connection is closed first."""
    connection = await open_connection(Collector, where, tls)
    connection.send(b"PING\r\n")
    await eventually(lambda: connection.received or connection.lost.done())
    connection.close()
    return bytes(connection.received)


async def refusal(where: Address | Path, tls: RedisTls | None = None) -> str:
    """Return why no connection came about; the address stands in front of it."""
    with pytest.raises(ConnectionError) as problem:
        async with asyncio.timeout(10):
            await open_connection(Collector, where, tls)
    address, _, why = str(problem.value).partition(f"{where}: ")
    assert not address
    return why


async def test_tcp(redis_server: RedisServer) -> None:
    """The socket has no delay and is kept alive as Redis does it."""
    connection = await open_connection(Collector, Address(LOOPBACK, redis_server.port), None)
    assert connection.transport is not None
    opened = connection.transport.get_extra_info("socket")
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE")  # noqa: B009  # macOS only
    assert opened.getsockopt(socket.IPPROTO_TCP, idle) == KEEPALIVE_S
    connection.close()
    assert await ping(Address("localhost", redis_server.port)) == b"+PONG\r\n"


async def test_a_unix_socket(start_redis: StartRedis, tmp_path: Path) -> None:
    """A path is a Unix socket."""
    path = tmp_path / "redis.sock"
    start_redis("--unixsocket", str(path))
    assert await ping(path) == b"+PONG\r\n"


async def test_what_is_said(tmp_path: Path) -> None:
    """The text names the address and the reason."""
    assert await refusal(Address(LOOPBACK, free_port())) == "Connection refused"
    assert await refusal(tmp_path / "missing.sock") == "No such file or directory"
    assert "label" in await refusal(Address("x" * 64, 1))


async def test_tls(redis_server: RedisServer, authority: Authority) -> None:
    """With the authority that signed it, a certificate for the address is accepted."""
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as relay:
        assert await ping(Address(LOOPBACK, relay.port), RedisTls(ca=authority.ca)) == b"+PONG\r\n"
        assert relay.received == b"PING\r\n"


async def test_a_name_of_its_own(redis_server: RedisServer, authority: Authority) -> None:
    """A certificate for another name is refused, unless that name is the one that is wanted."""
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis", hosts=["redis.test"])) as relay:
        address = Address(LOOPBACK, relay.port)
        assert await ping(address, RedisTls(ca=authority.ca, server_name="redis.test")) == b"+PONG\r\n"
        relay.received.clear()
        for name in (None, "other.test"):
            why = await refusal(address, RedisTls(ca=authority.ca, server_name=name))
            assert why.startswith("its certificate is refused: ")
            assert (name or LOOPBACK) in why
        assert not relay.received


async def test_wrong_certificates(redis_server: RedisServer, authority: Authority, tmp_path: Path) -> None:
    """A certificate of somebody else's authority, or one that has expired, is refused, and nothing is sent."""
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as relay:
        for tls in (RedisTls(ca=Authority(tmp_path, "other").ca), RedisTls()):
            why = await refusal(Address(LOOPBACK, relay.port), tls)
            assert why == "its certificate is refused: unable to get local issuer certificate"
        assert not relay.received
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis", expired=True)) as relay:
        why = await refusal(Address(LOOPBACK, relay.port), RedisTls(ca=authority.ca))
        assert why == "its certificate is refused: certificate has expired"
        assert not relay.received


async def test_a_server_without_tls(authority: Authority) -> None:
    """A server that answers in plain text is refused, and all it ever got is the beginning of a handshake."""
    async with listening(b"-ERR what?\r\n") as plain:
        assert await refusal(Address(LOOPBACK, plain.port), RedisTls(ca=authority.ca)) == "it does not speak TLS"
        assert plain.accepted == 1
        assert plain.received.startswith(b"\x16\x03\x01")  # a TLS record: handshake


async def test_client_certificates(redis_server: RedisServer, authority: Authority) -> None:
    """A server that asks who we are accepts our certificate, and lets nobody through without one."""
    ours = authority.issue("sidecar")
    known = RedisTls(ca=authority.ca, cert=ours.cert, key=ours.key)
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis"), clients=authority.ca) as relay:
        assert await ping(Address(LOOPBACK, relay.port), known) == b"+PONG\r\n"
        relay.received.clear()
        # With TLS 1.3 the client's half of the handshake is over before the server has seen that nothing came.
        assert await ping(Address(LOOPBACK, relay.port), RedisTls(ca=authority.ca)) == b""
        assert not relay.received
