"""`serve --workers N` as users run it: real processes that share clients, start, reload, and stop together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.app.workforce import (
    START_LIMIT_S,
    appends,
    crowd,
    page,
    pids,
    start,
    state,
    until_clients,
)
from tests.e2e.agents import as_map, definitions_file, patient, run
from tests.support.certificates import Authority
from tests.support.children import Children, StartRedis, StartSidecar, alive
from tests.support.waiting import eventually

CONNECTIONS = 50


@pytest.fixture(scope="module")
def unix_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared sidecar listens, besides its port."""
    return tmp_path_factory.mktemp("workers") / "s"


@pytest.fixture(scope="module")
def shared(shared_children: Children, redis_server: RedisServer, unix_socket: Path) -> SidecarProcess:
    """A sidecar with two workers, for tests that do it no harm."""
    settings = {"MEMSIDECAR_UNIX_SOCKET": str(unix_socket)}
    return start(StartSidecar(shared_children), redis_url=redis_server.url, settings=settings)


@pytest.fixture
def sidecar(shared: SidecarProcess, redis_url: str) -> SidecarProcess:
    """The same, in front of an empty Redis."""
    assert redis_url
    return shared


@pytest.mark.parametrize("by_unix_socket", [False, True])
async def test_connections_are_spread(sidecar: SidecarProcess, unix_socket: Path, by_unix_socket: bool) -> None:
    """Fifty clients that come at once are half and half with two workers, by TCP and by the Unix socket."""
    async with crowd(sidecar, CONNECTIONS, unix=unix_socket if by_unix_socket else None):
        await until_clients(sidecar, [CONNECTIONS // 2] * 2)


async def test_who_has_fewest_gets_the_next(sidecar: SidecarProcess) -> None:
    """After all clients of one worker have left, new ones come to it until both have the same."""
    async with crowd(sidecar, 8) as made:
        await until_clients(sidecar, [4, 4])
        for client in made[::2]:  # they came by turns
            await client.aclose()
        await until_clients(sidecar, [0, 4])
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await (await stack.enter_async_context(patient(sidecar.url))).ping()
            await until_clients(sidecar, [4, 4])


async def test_workers_wake_each_other_s_clients(sidecar: SidecarProcess) -> None:
    """A lock and a blocking read that wait in one worker end with what a client of the other one does."""
    async with crowd(sidecar, 2) as (one, other):
        await until_clients(sidecar, [1, 1])
        token = as_map(await run(one, "MEMLOCK", "chat:1", "60000"))["token"]
        locking = asyncio.create_task(run(other, "MEMLOCK", "chat:1", "1000", "WAIT", "30000"))
        await eventually(lambda: _waits(one, other), why="nobody waits")
        await run(one, "MEMUNLOCK", "chat:1", token)
        async with asyncio.timeout(4):  # less than the time after which one who waits looks by itself
            assert as_map(await locking)["token"]
        reading = asyncio.create_task(run(other, "MEMREAD", "chat:2", "SINCE", "$", "BLOCK", "30000"))
        appended = await eventually(lambda: _until_read(one, reading), why="the reader does not wake up")
        assert appended


async def _waits(*asked: redis.asyncio.Redis) -> bool:
    # The one that waits cannot be asked; Redis tells of its subscription.
    names = await asked[0].pubsub_channels("mem:wake:*")
    return bool(names)


async def _until_read(writer: redis.asyncio.Redis, reading: asyncio.Task[Any]) -> bool:
    """Append once more; a reader that had not begun to wait sees a later one."""
    await run(writer, "MEMAPPEND", "chat:2", "user", "are you there?")
    await asyncio.wait({reading}, timeout=0.1)
    return reading.done() and bool(as_map(reading.result())["messages"])


async def test_the_pages_are_of_all(sidecar: SidecarProcess) -> None:
    """`/metrics` adds up what the workers count; `/readyz` and `/healthz` speak for all of them."""
    before = await appends(sidecar)
    async with crowd(sidecar, 2) as made:
        await until_clients(sidecar, [1, 1])
        for client in made:
            await run(client, "MEMAPPEND", "chat:1", "user", "one", "user", "two")
        assert await appends(sidecar) == before + 4
        text = (await asyncio.to_thread(page, sidecar, "/metrics"))[1]
        assert {"memsidecar_clients 2.0", "memsidecar_workers 2.0"} <= set(text.splitlines())
    assert await asyncio.to_thread(page, sidecar, "/readyz") == (200, "ready\n")
    assert await asyncio.to_thread(page, sidecar, "/healthz") == (200, "ok\n")
    status, text = await asyncio.to_thread(page, sidecar, "/health")
    health = json.loads(text)
    assert (status, health["healthy"], health["not-ready"]) == (200, True, None)
    assert [(each["worker"], each["up"], each["health"]["redis"]["state"]) for each in health["workers"]] == [
        (1, True, "up"),
        (2, True, "up"),
    ]
    told = await state(sidecar)
    assert (told["not_ready"], told["restarts"], [worker["worker"] for worker in told["workers"]]) == (None, 0, [1, 2])


def test_log_lines_tell_the_worker(sidecar: SidecarProcess) -> None:
    """Each line of a worker is whole and has its number; the supervisor's have none."""
    lines = [json.loads(line) for line in sidecar.tail()]
    told = {line.get("worker") for line in lines if line["event"] == "worker ready"}
    assert told == {1, 2}
    assert [line["workers"] for line in lines if line["event"] == "sidecar ready"] == [2]


async def test_sigterm_answers_what_was_taken(redis_url: str, sidecar_process: StartSidecar) -> None:
    """Under load every command that was executed is answered before the connections close, and the code is 0."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    workers = await pids(sidecar)
    answered = dict.fromkeys(range(8), 0)

    async def count_up(name: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        try:
            while True:
                writer.write(b"INCR c%d\r\n" % name * 16)
                for _ in range(16):
                    if not await reader.readline():
                        return
                    answered[name] += 1
        except ConnectionError:
            return
        finally:
            writer.close()

    counting = [asyncio.create_task(count_up(name)) for name in answered]
    await eventually(lambda: min(answered.values()) > 100)
    os.kill(sidecar.pid, signal.SIGTERM)
    assert await asyncio.to_thread(sidecar.wait, 30) == 0
    await asyncio.gather(*counting)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        stored = {name: int(await client.get(f"c{name}") or 0) for name in answered}
    assert stored == answered
    assert not any(map(alive, workers))


async def test_sighup_reaches_all(redis_url: str, sidecar_process: StartSidecar, tmp_path: Path) -> None:
    """After SIGHUP every worker has the new definitions."""
    definitions = definitions_file(tmp_path, id="chat")
    sidecar = start(sidecar_process, redis_url=redis_url, definitions=definitions)
    async with crowd(sidecar, 2) as made:
        await until_clients(sidecar, [1, 1])
        definitions_file(tmp_path, id="notes")
        os.kill(sidecar.pid, signal.SIGHUP)

        async def know() -> bool:
            return all([b"notes" in await run(client, "MEMDEFS") for client in made])

        await eventually(know, limit_s=START_LIMIT_S, why="a worker has not read the definitions anew")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MEMSIDECAR_MAX_CLIENTS": "0"}, "MEMSIDECAR_MAX_CLIENTS: "),
        # Only a worker loads Temporal's library, so only a worker can find this out.
        ({"MEMSIDECAR_ENGINE": "temporal", "TEMPORAL_PROFILE": "nowhere"}, "nowhere"),
    ],
)
def test_a_bad_configuration_is_said_once(
    redis_url: str, sidecar_process: StartSidecar, settings: dict[str, str], said: str
) -> None:
    """What is wrong ends the whole with exit code 2 and one message, whoever finds out."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_WORKERS": "3", **settings}, wait=False)
    assert sidecar.wait(START_LIMIT_S) == 2
    assert sum(said in line for line in sidecar.tail()) == 1, sidecar.tail()
    assert not sidecar.has_printed("Traceback")


@pytest.mark.parametrize("taken", ["listen", "http_listen"])
def test_a_busy_port_is_said_and_not_traced(redis_url: str, sidecar_process: StartSidecar, taken: str) -> None:
    """A port in use ends the whole with exit code 2 and the same words as without workers, and leaves no worker."""
    first = sidecar_process(redis_url=redis_url)
    port = first.port if taken == "listen" else first.http_port
    settings = {"MEMSIDECAR_WORKERS": "2"}
    second = SidecarProcess(
        port=port if taken == "listen" else free_port(),
        http_port=free_port() if taken == "listen" else port,
        settings={**settings, "MEMSIDECAR_REDIS_URL": redis_url},
    )
    second.spawn()
    try:
        assert second.wait(START_LIMIT_S) == 2
    finally:
        second.kill()
    assert sum(f"{taken}: cannot listen on 127.0.0.1:{port}" in line for line in second.tail()) == 1
    assert not second.has_printed("Traceback")


async def test_clients_are_refused_while_redis_is_away(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """As with one process, nobody can connect while Redis is away, and everybody when it is back."""
    server = start_redis()
    sidecar = start(sidecar_process, redis_url=server.url)
    server.kill()

    async def served() -> bool:
        try:
            async with patient(sidecar.url) as client:
                return bool(await client.ping())
        except redis.exceptions.ConnectionError:
            return False

    async def refused() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        except ConnectionRefusedError:
            return True
        writer.close()
        return False

    await eventually(refused, why="clients can connect although Redis is away")
    assert (await asyncio.to_thread(page, sidecar, "/readyz"))[0] == 503
    server.start()
    await eventually(served, why="nobody is served although Redis is back")


async def test_clients_by_tls(redis_url: str, sidecar_process: StartSidecar, tmp_path: Path) -> None:
    """The worker that a client is given to speaks TLS with it."""
    authority = Authority(tmp_path)
    issued = authority.issue("localhost")
    sidecar = start(
        sidecar_process,
        redis_url=redis_url,
        settings={"MEMSIDECAR_TLS_CERT": str(issued.cert), "MEMSIDECAR_TLS_KEY": str(issued.key)},
    )
    url = f"rediss://localhost:{sidecar.port}?ssl_ca_certs={authority.ca}"
    async with redis.asyncio.Redis.from_url(url) as client:
        assert as_map(await run(client, "MEMAPPEND", "chat:1", "user", "hello"))["appended"] == 1
