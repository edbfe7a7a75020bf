"""Dialling what an endpoint means at that moment, every form of it, and through a failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import RedisServer
from sidecar.errors import ConfigurationError
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import Address, RedisEndpoint
from sidecar.net.redis_tls import RedisTls
from tests.net.securing import Collector, listening
from tests.support.certificates import Authority
from tests.support.children import Children, StartRedis
from tests.support.sentinels import FAILOVER_LIMIT_S, MASTER, SentinelSet, StartSentinels
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually


@pytest.fixture
def start_sentinels(children: Children, tmp_path: Path, redis_program: Path) -> StartSentinels:
    return StartSentinels(children, tmp_path, redis_program)


@asynccontextmanager
async def dialling(
    url: str, *, tls: RedisTls | None = None, sentinel_password: str | None = None, connect_timeout_s: float = 2.0
) -> AsyncIterator[Dialer]:
    endpoint = RedisEndpoint.parse(url)
    dialer = Dialer(endpoint, tls=tls, sentinel_password=sentinel_password, connect_timeout_s=connect_timeout_s)
    try:
        yield dialer
    finally:
        await dialer.close()


async def ask(dialer: Dialer, question: bytes = b"PING\r\n") -> bytes:
    """Dial, ask one question, and return the reply's first line; nothing if the connection is closed instead."""
    connection = await dialer.connect(Collector)
    connection.send(question)
    await eventually(lambda: b"\r\n" in connection.received or connection.lost.done())
    connection.close()
    return bytes(connection.received).partition(b"\r\n")[0]


async def port(dialer: Dialer) -> int:
    """Return the port of the Redis that a dial reaches, as that Redis sees it; 0 if none is reached."""
    try:
        connection = await dialer.connect(Collector)
    except OSError:
        return 0
    assert connection.transport is not None
    reached: int = connection.transport.get_extra_info("peername")[1]
    connection.close()
    return reached


async def test_tcp(redis_server: RedisServer) -> None:
    """A plain URL is dialled, by address and by name."""
    for host in (LOOPBACK, "localhost"):
        async with dialling(f"redis://{host}:{redis_server.port}") as dialer:
            assert await ask(dialer) == b"+PONG"


async def test_a_unix_socket(start_redis: StartRedis, tmp_path: Path) -> None:
    """A Unix socket is dialled."""
    start_redis("--unixsocket", str(tmp_path / "redis.sock"))
    async with dialling(f"unix://{tmp_path}/redis.sock") as dialer:
        assert await ask(dialer) == b"+PONG"


async def test_nothing_is_sent() -> None:
    """A connection is handed over as the kernel made it: no login, no question."""
    async with listening() as listener, dialling(f"redis://user:secret@{LOOPBACK}:{listener.port}/3") as dialer:
        connection = await dialer.connect(Collector)
        connection.send(b"mine")
        await eventually(lambda: listener.received)
        assert listener.received == b"mine"
        connection.close()


async def test_nobody_there(tmp_path: Path) -> None:
    """The text says which address, and why."""
    gone = Address(LOOPBACK, free_port())
    async with dialling(f"redis://{gone}") as dialer:
        with pytest.raises(ConnectionError, match=f"^{gone}: Connection refused$"):
            await dialer.connect(Collector)
    async with dialling(f"unix://{tmp_path}/missing.sock") as dialer:
        with pytest.raises(ConnectionError, match=f"^{tmp_path}/missing.sock: No such file or directory$"):
            await dialer.connect(Collector)


async def test_time_is_over() -> None:
    """A server that says nothing to a handshake ends the dial after its time."""
    async with listening() as silent:
        url = f"rediss://{LOOPBACK}:{silent.port}"
        async with dialling(url, tls=RedisTls(), connect_timeout_s=0.1) as dialer:
            with pytest.raises(TimeoutError, match=rf"^{LOOPBACK}:{silent.port}: no connection within 0\.1 s$"):
                await dialer.connect(Collector)


async def test_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    """A TLS URL is dialled with TLS and never without."""
    authority = Authority(tmp_path)
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as relay:
        url = f"rediss://user:secret@{relay.address}"
        async with dialling(url, tls=RedisTls(ca=authority.ca)) as dialer:
            assert await ask(dialer) == b"+PONG"
            assert relay.received == b"PING\r\n"
    async with listening(b"-ERR what?\r\n") as plain:
        async with dialling(f"rediss://{LOOPBACK}:{plain.port}", tls=RedisTls()) as dialer:
            with pytest.raises(ConnectionError, match="it does not speak TLS"):
                await dialer.connect(Collector)
        assert plain.accepted == 1


@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel"])
def test_tls_that_is_forgotten(scheme: str) -> None:
    """An endpoint that wants TLS cannot be dialled without it, nor the other way round."""
    url = f"://{LOOPBACK}/{MASTER if 'sentinel' in scheme else 0}"
    with pytest.raises(ValueError, match="TLS is given exactly"):
        Dialer(RedisEndpoint.parse(scheme + url))
    with pytest.raises(ValueError, match="TLS is given exactly"):
        Dialer(RedisEndpoint.parse(scheme.replace("rediss", "redis") + url), tls=RedisTls())


async def test_reload(redis_server: RedisServer, tmp_path: Path) -> None:
    """After the certificates were replaced, connections use the new ones; a broken file changes nothing."""
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    file = tmp_path / "ca.pem"
    file.write_bytes(old.ca.read_bytes())
    target = f"{LOOPBACK}:{redis_server.port}"
    async with tls_relay(target, new.issue("redis")) as relay, tls_relay(target, old.issue("redis")) as old_relay:
        async with dialling(f"rediss://{relay.address}", tls=RedisTls(ca=file)) as dialer:
            with pytest.raises(ConnectionError, match="its certificate is refused"):
                await dialer.connect(Collector)
            file.write_bytes(new.ca.read_bytes())
            dialer.reload()
            assert await ask(dialer) == b"+PONG"
            file.write_text("broken")
            with pytest.raises(ConfigurationError, match=f"redis_tls_ca: {file}"):
                dialer.reload()
            assert await ask(dialer) == b"+PONG"
        async with dialling(f"rediss://{old_relay.address}", tls=RedisTls(ca=new.ca)) as dialer:
            with pytest.raises(ConnectionError, match="its certificate is refused"):
                await dialer.connect(Collector)


async def test_reload_and_suspect_without_tls_and_sentinels(redis_server: RedisServer) -> None:
    """There is nothing to read and nothing to forget."""
    async with dialling(redis_server.url) as dialer:
        dialer.reload()
        dialer.suspect()
        assert await ask(dialer) == b"+PONG"


async def test_a_failover_on_demand(start_sentinels: StartSentinels) -> None:
    """When the Sentinels make the replica the master, dials go there, also for who suspects the old one at once."""
    watched = await start_sentinels.all()
    async with dialling(watched.url) as dialer:
        assert await port(dialer) == watched.master.port
        await watched.fail_over()
        dialer.suspect()

        async def at_the_new_one() -> bool:
            return await port(dialer) == watched.replica.port

        await eventually(at_the_new_one, limit_s=FAILOVER_LIMIT_S, why="dials do not follow")
        assert await ask(dialer, b"SET k v\r\n") == b"+OK"


async def test_a_killed_master(start_sentinels: StartSentinels) -> None:
    """After the master has died, dials fail and say why until there is a new one; 50 at once wait for it together."""
    watched = await start_sentinels.all()
    async with dialling(watched.url) as dialer, dialling(watched.url, connect_timeout_s=FAILOVER_LIMIT_S) as patient:
        assert await port(patient) == watched.master.port
        watched.master.kill()
        waiting = asyncio.gather(*(port(patient) for _ in range(50)))
        async with dialling(watched.url, connect_timeout_s=0.3) as hasty:
            with pytest.raises(TimeoutError) as problem:
                await hasty.connect(Collector)
        assert str(problem.value).startswith(f"master '{MASTER}': no connection within 0.3 s: {LOOPBACK}:")
        assert set(await waiting) == {watched.replica.port}
        assert await ask(dialer, b"SET k v\r\n") == b"+OK"


async def test_a_sentinel_that_names_a_replica(redis_server: RedisServer, start_sentinels: StartSentinels) -> None:
    """What is no master is not dialled; after the dial's time the text says what it is."""
    replica = start_sentinels.replica_of(redis_server)
    lags = start_sentinels.one({MASTER: replica.port}, down_after_ms=60_000)
    async with dialling(f"redis+sentinel://{lags.address}/{MASTER}", connect_timeout_s=0.5) as dialer:
        text = f"{LOOPBACK}:{replica.port}: it is a replica, not the master: a failover is under way"
        with pytest.raises(TimeoutError, match=f"^master '{MASTER}': no connection within 0.5 s: {text}$"):
            await dialer.connect(Collector)


async def test_a_master_that_has_become_a_replica(
    start_redis: StartRedis, redis_server: RedisServer, start_sentinels: StartSentinels
) -> None:
    """A role is believed for a moment, but not by who has seen that it is wrong."""
    server = start_redis()
    lags = start_sentinels.one({MASTER: server.port}, down_after_ms=60_000)
    async with dialling(f"redis+sentinel://{lags.address}/{MASTER}", connect_timeout_s=0.3) as dialer:
        assert await port(dialer) == server.port
        async with redis.asyncio.Redis(port=server.port) as client:
            await client.replicaof(LOOPBACK, redis_server.port)
        dialer.suspect()
        assert await port(dialer) == 0


async def test_a_master_that_comes_back_as_a_replica(
    start_redis: StartRedis, redis_server: RedisServer, start_sentinels: StartSentinels, tmp_path: Path
) -> None:
    """After a failed dial the address is asked for its role again, however short ago it was a master."""
    server = start_redis()
    lags = start_sentinels.one({MASTER: server.port}, down_after_ms=60_000)
    async with dialling(f"redis+sentinel://{lags.address}/{MASTER}", connect_timeout_s=0.2) as dialer:
        assert await port(dialer) == server.port
        server.kill()
        assert await port(dialer) == 0
        (tmp_path / f"redis-{server.port}").rename(tmp_path / "before")
        start_redis("--replicaof", LOOPBACK, str(redis_server.port), port=server.port)
        assert await port(dialer) == 0


async def test_credentials(start_redis: StartRedis, start_sentinels: StartSentinels) -> None:
    """Redis's password goes to Redis and the Sentinels' to the Sentinels; without Redis's, its role stays open."""
    server = start_redis("--requirepass", "for-redis")
    locked = start_sentinels.one({MASTER: server.port}, password="for-sentinels")
    for credentials in (":for-redis@", ":wrong@", ""):
        url = f"redis+sentinel://{credentials}{locked.address}/{MASTER}"
        async with dialling(url, sentinel_password="for-sentinels") as dialer:
            assert await ask(dialer) == b"-NOAUTH Authentication required."
    url = f"redis+sentinel://:for-redis@{locked.address}/{MASTER}"
    async with dialling(url, connect_timeout_s=0.3) as dialer:
        with pytest.raises(TimeoutError, match=r"no Sentinel names a master: .*Authentication required"):
            await dialer.connect(Collector)


async def test_tls_to_sentinels_and_redis(
    redis_server: RedisServer, start_sentinels: StartSentinels, tmp_path: Path
) -> None:
    """With rediss+sentinel:// both speak TLS; a Redis without it is not dialled in plain."""
    authority = Authority(tmp_path)
    tls = RedisTls(ca=authority.ca)
    async with tls_relay(f"{LOOPBACK}:{redis_server.port}", authority.issue("redis")) as front:
        for behind, reached in ((front.port, True), (redis_server.port, False)):
            sentinel = start_sentinels.one({MASTER: behind}, down_after_ms=60_000)
            async with tls_relay(sentinel.address, authority.issue("redis")) as relay:
                url = f"rediss+sentinel://:secret@{relay.address}/{MASTER}"
                async with dialling(url, tls=tls, connect_timeout_s=2.0 if reached else 0.5) as dialer:
                    assert (await port(dialer) == front.port) is reached


async def test_what_a_storm_costs(start_redis: StartRedis, start_sentinels: StartSentinels) -> None:
    """A thousand clients that come within a second cost Redis at most a few ROLEs."""
    server = start_redis()
    sentinel = start_sentinels.one({MASTER: server.port})
    async with dialling(f"redis+sentinel://{sentinel.address}/{MASTER}", connect_timeout_s=20) as dialer:
        for _ in range(10):
            assert set(await asyncio.gather(*(port(dialer) for _ in range(100)))) == {server.port}
    async with redis.asyncio.Redis(port=server.port) as client:
        asked = (await client.info("commandstats"))["cmdstat_role"]["calls"]
    assert 1 <= asked <= 10


def test_a_set_is_named_by_its_sentinels(start_redis: StartRedis, start_sentinels: StartSentinels) -> None:
    """The URL of a set, which other tests give to a sidecar, is one that is read."""
    sentinel = start_sentinels.one({MASTER: 1})
    endpoint = RedisEndpoint.parse(SentinelSet(start_redis(), start_redis(), [sentinel]).url)
    assert endpoint == RedisEndpoint(sentinels=(Address(LOOPBACK, sentinel.port),), master=MASTER)
