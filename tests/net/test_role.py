"""Asking a Redis for its role: what it says, what it does not tell, and what counts as no answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from sidecar.net.endpoint import Address
from sidecar.net.redis_tls import RedisTls
from sidecar.net.role import ROLE_LIMIT_S, role_of
from tests.net.securing import listening
from tests.support.certificates import Authority
from tests.support.children import StartRedis, freeze
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually


def at(server: RedisServer) -> Address:
    return Address(LOOPBACK, server.port)


async def test_roles(redis_server: RedisServer, start_redis: StartRedis) -> None:
    """A master and a replica say what they are, the replica also while it finds no master."""
    assert await role_of(at(redis_server)) == "master"
    assert await role_of(at(start_redis("--replicaof", LOOPBACK, str(free_port())))) == "slave"


async def test_passwords(start_redis: StartRedis) -> None:
    """With the password the role is known, with another one or none it is not told."""
    server = start_redis("--requirepass", "secret")
    assert await role_of(at(server), password="secret") == "master"
    assert await role_of(at(server), username="default", password="secret") == "master"
    assert await role_of(at(server), password="wrong") is None
    assert await role_of(at(server)) is None


async def test_rights(start_redis: StartRedis) -> None:
    """A user who may not ask is not told."""
    server = start_redis("--user", "app", "on", ">secret", "+@all", "-role")
    assert await role_of(at(server), username="app", password="secret") is None


async def test_a_password_that_nobody_asks_for(redis_server: RedisServer) -> None:
    """A Redis that refuses our login but lets everybody in tells its role."""
    assert await role_of(at(redis_server), password="needless") == "master"


async def test_too_many_clients(start_redis: StartRedis) -> None:
    """A Redis that is full does not tell; its own words are for the client."""
    server = start_redis("--maxclients", "1")
    with redis.Redis(port=server.port) as only:
        only.ping()
        assert await role_of(at(server)) is None
    await eventually(lambda: role_of(at(server)), why="its client is gone, and still it does not tell")


async def test_no_answer(start_redis: StartRedis) -> None:
    """A Redis that is gone, hangs or closes the connection has no role; the text names it."""
    server = start_redis()
    await freeze(server.pid)
    with pytest.raises(TimeoutError, match=f"^{at(server)}: it did not tell its role within {ROLE_LIMIT_S:g} s$"):
        await role_of(at(server))
    server.kill()
    with pytest.raises(ConnectionError, match=f"^{at(server)}: Connection refused$"):
        await role_of(at(server))


async def test_a_connection_that_is_closed() -> None:
    """Somebody who answers nothing and closes has no role."""
    async with listening(hang_up=True) as listener:
        address = Address(LOOPBACK, listener.port)
        with pytest.raises(ConnectionError, match=f"^{address}: it closed the connection when asked for its role$"):
            await role_of(address)


@pytest.mark.parametrize("answer", [b"+OK\r\n", b"*0\r\n", b"*1\r\n:1\r\n"])
async def test_answers_of_another_shape(answer: bytes) -> None:
    """What is not a role is none."""
    async with listening(answer) as listener:
        assert await role_of(Address(LOOPBACK, listener.port)) is None


async def test_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    """The question goes over TLS where the connection would, the password with it."""
    authority = Authority(tmp_path)
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as relay:
        address = Address(LOOPBACK, relay.port)
        assert await role_of(address, tls=RedisTls(ca=authority.ca), password="secret") == "master"
        relay.received.clear()
        with pytest.raises(ConnectionError, match="its certificate is refused"):
            await role_of(address, tls=RedisTls(), password="secret")
        assert not relay.received
