"""Every way to the sidecar and from it to Redis, with forwarded and MEM commands on it: TLS, Unix socket, Sentinel."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis
import redis.asyncio

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import as_map, run
from tests.support.certificates import Authority
from tests.support.children import Children, StartRedis, StartSidecar
from tests.support.sentinels import FAILOVER_LIMIT_S, StartSentinels
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually


@pytest.fixture
def start_sentinels(children: Children, tmp_path: Path, redis_program: Path) -> StartSentinels:
    return StartSentinels(children, tmp_path, redis_program)


async def both_kinds_work(client: redis.asyncio.Redis) -> bool:
    """Forward a command and execute one of ours; False while Redis cannot be reached."""
    try:
        await client.set("plain", "works")
        appended = as_map(await run(client, "MEMAPPEND", "chat:1", "user", "hello"))
    except redis.exceptions.RedisError:
        return False
    return int(appended["appended"]) == 1 and await client.get("plain") == b"works"


async def test_tls_on_both_sides(
    redis_server: RedisServer, redis_url: str, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Clients speak TLS with the sidecar and show a certificate, and the sidecar speaks TLS with Redis."""
    clients, servers = Authority(tmp_path, "clients"), Authority(tmp_path, "servers")
    shown, own = clients.issue("agent"), servers.issue("sidecar")
    async with tls_relay(f"127.0.0.1:{redis_server.port}", servers.issue("redis")) as relay:
        sidecar = sidecar_process(
            redis_url=f"rediss://localhost:{relay.port}",
            settings={
                "MEMSIDECAR_TLS_CERT": str(own.cert),
                "MEMSIDECAR_TLS_KEY": str(own.key),
                "MEMSIDECAR_TLS_CLIENT_CA": str(clients.ca),
                "MEMSIDECAR_REDIS_TLS_CA": str(servers.ca),
            },
            wait=False,
        )
        await asyncio.to_thread(sidecar.wait_ready)
        async with redis.asyncio.Redis(
            port=sidecar.port,
            ssl=True,
            ssl_ca_certs=str(servers.ca),
            ssl_certfile=str(shown.cert),
            ssl_keyfile=str(shown.key),
        ) as client:
            assert await both_kinds_work(client)
        async with redis.asyncio.Redis(port=sidecar.port, ssl=True, ssl_ca_certs=str(servers.ca)) as stranger:
            with pytest.raises(redis.exceptions.ConnectionError):
                await stranger.ping()


async def test_unix_sockets_on_both_sides(
    start_redis: StartRedis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Clients come by a Unix socket with the rights that were set, and the sidecar reaches Redis by one."""
    behind, front = tmp_path / "redis.sock", tmp_path / "sidecar.sock"
    start_redis("--unixsocket", str(behind))
    sidecar_process(
        redis_url=f"unix://{behind}?db=3",
        settings={"MEMSIDECAR_UNIX_SOCKET": str(front), "MEMSIDECAR_UNIX_SOCKET_MODE": "0600"},
    )
    assert front.stat().st_mode & 0o777 == 0o600
    async with redis.asyncio.Redis(unix_socket_path=str(front)) as client:
        assert await both_kinds_work(client)
        await client.select(3)
        assert await client.exists(*await client.keys("mem:meta:*")) == 1  # memories are in the URL's database


async def test_a_failover_of_redis(start_sentinels: StartSentinels, sidecar_process: StartSidecar) -> None:
    """When the master dies, clients that connect anew are on its successor, with forwarded and MEM commands."""
    watched = await start_sentinels.all()
    sidecar: SidecarProcess = sidecar_process(redis_url=watched.url)
    async with redis.asyncio.Redis(port=sidecar.port) as client:
        assert await both_kinds_work(client)
        watched.master.kill()
        await eventually(lambda: both_kinds_work(client), limit_s=FAILOVER_LIMIT_S)
        async with redis.asyncio.Redis.from_url(watched.replica.url) as successor:
            assert await successor.get("plain") == b"works"
            assert len(await successor.keys("mem:meta:*")) == 1


async def test_clients_are_refused_while_redis_is_away(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """A sidecar whose Redis is down refuses connections, as Redis would, and takes them again when it is back."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url)
    server.kill()

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(refused)
    server.start()
    async with redis.asyncio.Redis(port=sidecar.port) as client:
        await eventually(lambda: both_kinds_work(client))
