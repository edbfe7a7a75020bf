"""redis-py on our own connections: it logs in, names itself, and leaves a Redis that has become a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import Unavailable
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.redis_client import P, redis_client
from sidecar.net.redis_tls import RedisTls
from sidecar.store.redis_errors import translated
from tests.net.securing import listening
from tests.support.certificates import Authority
from tests.support.children import StartRedis
from tests.support.tls_relay import tls_relay
from tests.support.waiting import DIAL_LIMIT_S


class Watched:
    """Dials one Redis, and counts."""

    def __init__(self, port: int) -> None:
        self._dialer = Dialer(RedisEndpoint(LOOPBACK, port), connect_timeout_s=DIAL_LIMIT_S)
        self.dialled = 0
        self.suspected = 0

    async def connect(self, factory: Callable[[], P]) -> P:
        self.dialled += 1
        return await self._dialer.connect(factory)

    def suspect(self) -> None:
        self.suspected += 1


async def test_login(start_redis: StartRedis) -> None:
    """User, password, database and name are those that were given."""
    server = start_redis("--user", "app", "on", ">secret", "+@all", "~*", "&*")
    dialer = Dialer(RedisEndpoint(LOOPBACK, server.port))
    client = redis_client(dialer, username="app", password="secret", database=3, client_name="test")
    assert await client.execute_command("ACL", "WHOAMI") in (b"app", "app")  # type: ignore[no-untyped-call]
    (found,) = await client.client_list()
    assert (found["name"], found["db"]) == ("test", "3")
    assert "secret" not in repr(client)
    await client.aclose()


async def test_the_default_user_and_its_password(start_redis: StartRedis) -> None:
    """A password alone is that of the user `default`; a wrong one is told."""
    server = start_redis("--requirepass", "secret")
    dialer = Dialer(RedisEndpoint(LOOPBACK, server.port))
    async with redis_client(dialer, password="secret") as client:
        assert await client.ping()
    async with redis_client(dialer, password="wrong") as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await client.ping()


@pytest.mark.parametrize("resp", [None, 2, 3])
async def test_large_values_and_pipelines(redis_server: RedisServer, resp: int | None) -> None:
    """What does not fit into one read arrives whole, in order, in either protocol."""
    async with redis_client(Dialer(RedisEndpoint(LOOPBACK, redis_server.port)), resp=resp) as client:
        value = b"x" * 5_000_000
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.set("large", value)
            pipeline.get("large")
            pipeline.delete("large")
            assert await pipeline.execute() == [True, value, 1]


async def test_a_unix_socket(start_redis: StartRedis, tmp_path: Path) -> None:
    """A Unix socket is one of the forms."""
    path = tmp_path / "redis.sock"
    start_redis("--unixsocket", str(path))
    async with redis_client(Dialer(RedisEndpoint(socket=path))) as client:
        assert await client.ping()


async def test_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    """TLS is the dialer's: verified, and never replaced by plain text."""
    authority = Authority(tmp_path)
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as relay:
        endpoint = RedisEndpoint(LOOPBACK, relay.port, tls=True)
        async with redis_client(Dialer(endpoint, tls=RedisTls(ca=authority.ca))) as client:
            assert await client.ping()
        relay.received.clear()
        async with redis_client(Dialer(endpoint, tls=RedisTls()), password="secret") as client:
            with pytest.raises(redis.exceptions.ConnectionError, match="its certificate is refused"):
                await client.ping()
        assert not relay.received


async def test_nobody_there() -> None:
    """A refused connection says that nothing was sent, and why."""
    port = free_port()
    async with redis_client(Dialer(RedisEndpoint(LOOPBACK, port))) as client:
        text = f"connecting to Redis: {LOOPBACK}:{port}: Connection refused"
        with pytest.raises(Unavailable, match=text), translated():
            await client.ping()


async def test_a_dial_that_takes_too_long() -> None:
    """The dialer's own limit ends it, and its text is kept."""
    async with listening() as silent:
        endpoint = RedisEndpoint(LOOPBACK, silent.port, tls=True)
        async with redis_client(Dialer(endpoint, tls=RedisTls(), connect_timeout_s=0.05)) as client:
            with pytest.raises(Unavailable, match=r"no connection within 0\.05 s"), translated():
                await client.ping()


async def test_a_reply_that_does_not_come(redis_server: RedisServer) -> None:
    """The limit for replies holds."""
    async with redis_client(Dialer(RedisEndpoint(LOOPBACK, redis_server.port)), reply_timeout_s=0.05) as client:
        with pytest.raises(redis.exceptions.TimeoutError):
            await client.blpop(["nothing"], timeout=5)


SCRIPT = "return redis.call('SET', KEYS[1], '1')"


@pytest.mark.parametrize("by_script", [False, True])
async def test_a_replica(redis_server: RedisServer, start_redis: StartRedis, by_script: bool) -> None:
    """A Redis that refuses a write as a replica is suspected, and its connection is not used again."""
    replica = start_redis("--replicaof", LOOPBACK, str(redis_server.port))
    dialer = Watched(replica.port)
    async with redis_client(dialer) as client:
        await client.get("k")
        assert (dialer.dialled, dialer.suspected) == (1, 0)
        with pytest.raises(redis.exceptions.ResponseError):
            await (client.eval(SCRIPT, 1, "k") if by_script else client.set("k", "1"))
        assert dialer.suspected == 1
        await client.get("k")
        assert dialer.dialled == 2


async def test_other_errors_keep_the_connection(redis_client_watched: Watched) -> None:
    """An ordinary error reply is no reason to connect anew."""
    async with redis_client(redis_client_watched) as client:
        for _ in range(2):
            with pytest.raises(redis.exceptions.ResponseError):
                await client.execute_command("NOSUCH")  # type: ignore[no-untyped-call]
    assert (redis_client_watched.dialled, redis_client_watched.suspected) == (1, 0)


@pytest.fixture
def redis_client_watched(redis_server: RedisServer) -> Watched:
    return Watched(redis_server.port)


async def test_many_at_once(redis_server: RedisServer) -> None:
    """Commands at the same time have connections of their own, which are kept and used again."""
    dialer = Watched(redis_server.port)
    async with redis_client(dialer) as client:
        for _ in range(3):
            await asyncio.gather(*(client.echo(str(n)) for n in range(10)))
    assert dialer.dialled == 10


async def test_a_cancellation_is_not_lost(redis_server: RedisServer) -> None:
    """Whoever is told to stop stops, at whatever moment of a command that is: while it is sent, or its reply comes."""
    async with redis_client(Watched(redis_server.port), reply_timeout_s=30) as client:

        async def ask() -> None:
            while True:
                await client.echo("x")

        for turns in range(400):
            asking = asyncio.ensure_future(ask())
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            asking.cancel()
            _, going_on = await asyncio.wait({asking}, timeout=5)
            assert not going_on
