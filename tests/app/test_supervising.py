"""`serve --workers N` as users run it: real processes that share clients, die, come back, and stop together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.app.supervising import FIRST_REST_S, LOOK_INTERVAL_S, STOP_MARGIN_S
from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import as_map, definitions_file, patient, run
from tests.e2e.ledger import Ledger
from tests.support.certificates import Authority
from tests.support.children import Children, StartRedis, StartSidecar, alive, freeze, ready
from tests.support.waiting import eventually

START_LIMIT_S = 60.0
"""For three processes that load vocabularies one after the other, on a machine that has more to do."""

CONNECTIONS = 50

RISING = ("counter", "histogram")


def start(start_sidecar: StartSidecar, *, workers: int = 2, **more: Any) -> SidecarProcess:
    """Return a sidecar whose workers all serve."""
    settings = {"MEMSIDECAR_WORKERS": str(workers), **more.pop("settings", {})}
    sidecar = start_sidecar(settings=settings, wait=False, **more)
    ready(sidecar)
    return sidecar


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


def page(sidecar: SidecarProcess, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    try:
        with urllib.request.urlopen(sidecar.metrics_url.replace("/metrics", path), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


async def state(sidecar: SidecarProcess) -> dict[str, Any]:
    """Return what `/workers` tells."""
    told: dict[str, Any] = json.loads((await asyncio.to_thread(page, sidecar, "/workers"))[1])
    return told


async def pids(sidecar: SidecarProcess) -> list[int]:
    return [worker["pid"] for worker in (await state(sidecar))["workers"]]


async def clients(sidecar: SidecarProcess) -> list[int]:
    return [worker["clients"] for worker in (await state(sidecar))["workers"]]


async def until_clients(sidecar: SidecarProcess, wanted: list[int]) -> None:
    async def are() -> bool:
        return sorted(await clients(sidecar)) == wanted

    await eventually(are, why=f"the workers do not have {wanted} clients")


async def rising(sidecar: SidecarProcess) -> dict[tuple[str, str], float]:
    """Return every sample that may never go back."""
    text = (await asyncio.to_thread(page, sidecar, "/metrics"))[1]
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        if family.type in RISING
        for sample in family.samples
    }


async def appends(sidecar: SidecarProcess) -> float:
    return (await rising(sidecar))["memsidecar_messages_appended_total", "[]"]


@asynccontextmanager
async def crowd(sidecar: SidecarProcess, size: int, *, unix: Path | None = None) -> AsyncIterator[list[Any]]:
    """Give connected clients, one connection each, that have all been answered once."""
    async with AsyncExitStack() as stack:
        await until_clients(sidecar, [0, 0])
        url = sidecar.url if unix is None else f"unix://{unix}"
        made = [await stack.enter_async_context(patient(url)) for _ in range(size)]
        assert await asyncio.gather(*(client.ping() for client in made)) == [True] * size
        yield made


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
    told = await state(sidecar)
    assert (told["not_ready"], told["restarts"], [worker["worker"] for worker in told["workers"]]) == (None, 0, [1, 2])


def test_log_lines_tell_the_worker(sidecar: SidecarProcess) -> None:
    """Each line of a worker is whole and has its number; the supervisor's have none."""
    lines = [json.loads(line) for line in sidecar.tail()]
    told = {line.get("worker") for line in lines if line["event"] == "worker ready"}
    assert told == {1, 2}
    assert [line["workers"] for line in lines if line["event"] == "sidecar ready"] == [2]


async def test_a_worker_is_killed_under_load(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """The others go on, its place is filled, nothing acknowledged is lost, and no counter ever goes back."""
    definitions = definitions_file(tmp_path, id="turn", max_tokens=None)
    sidecar = start(sidecar_process, redis_url=redis_url, definitions=definitions)
    seen = await rising(sidecar)

    async def watch() -> None:
        nonlocal seen
        while True:
            now = await rising(sidecar)
            back = {name: (seen[name], now.get(name)) for name in seen if now.get(name, -1.0) < seen[name]}
            assert not back
            seen = now

    async with crowd(sidecar, 2) as steady:
        watching = asyncio.create_task(watch())
        ledger = Ledger([sidecar.url], "turn", ["a", "b"], writers=8)
        await ledger.progress(200)
        await eventually(lambda: seen["memsidecar_messages_appended_total", "[]"] > 0)
        os.kill((await pids(sidecar))[0], signal.SIGKILL)
        await ledger.progress(200)
        assert sorted(await asyncio.gather(*map(ping, steady))) == [False, True]

        async def restarted() -> bool:
            told = await state(sidecar)
            return told["restarts"] == 1 and all(worker["up"] for worker in told["workers"])

        await eventually(restarted, limit_s=START_LIMIT_S, why="its place is not filled")
        await ledger.progress(200)
        await ledger.stop()
        await ledger.assert_exactly_once(redis_client)
        assert not watching.done() or watching.result()
        watching.cancel()
    assert any("killed by SIGKILL" in line for line in sidecar.tail())


async def test_what_a_dead_worker_had_reported_stays(redis_url: str, sidecar_process: StartSidecar) -> None:
    """Its counts stay in the sum, its clients do not; while it is away the sidecar is not ready, and then it is."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    async with crowd(sidecar, 2) as made:
        for client in made:
            await run(client, "MEMAPPEND", "chat:1", "user", "hello")
        assert await appends(sidecar) == 2
        for pid in await pids(sidecar):
            os.kill(pid, signal.SIGKILL)

        async def gone() -> bool:
            return not any(worker["up"] for worker in (await state(sidecar))["workers"])

        await eventually(gone)
        assert (await asyncio.to_thread(page, sidecar, "/readyz"))[0] == 503
        assert (await asyncio.to_thread(page, sidecar, "/healthz"))[0] == 200
        text = (await asyncio.to_thread(page, sidecar, "/metrics"))[1]
        assert {"memsidecar_messages_appended_total 2.0", "memsidecar_workers 0.0"} <= set(text.splitlines())
        assert not any(line.startswith("memsidecar_clients ") for line in text.splitlines())
    # Nobody serves, and who connects now waits in the kernel's queue until somebody does.
    async with patient(sidecar.url) as late:
        assert await late.ping()
        assert await run(late, "MEMAPPEND", "chat:1", "user", "again")
    assert await appends(sidecar) == 3

    async def is_ready() -> bool:
        return (await asyncio.to_thread(page, sidecar, "/readyz")) == (200, "ready\n")

    await eventually(is_ready, limit_s=START_LIMIT_S)


async def test_counts_are_collected_without_a_scrape(redis_url: str, sidecar_process: StartSidecar) -> None:
    """What a worker counted longer ago than a look is in the sum though nobody scraped before it died."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    async with patient(sidecar.url) as client:
        await run(client, "MEMAPPEND", "chat:1", "user", "hello")
        began = asyncio.get_running_loop().time()
        # Nothing but the clock tells that the supervisor has looked.
        await eventually(
            lambda: asyncio.get_running_loop().time() > began + 2 * LOOK_INTERVAL_S, limit_s=4 * LOOK_INTERVAL_S
        )
        for pid in await pids(sidecar):
            os.kill(pid, signal.SIGKILL)
    assert await appends(sidecar) == 1


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


async def test_a_worker_that_does_not_stop_is_killed(redis_url: str, sidecar_process: StartSidecar) -> None:
    """One that hangs when it should stop is killed in the end, and the exit code tells of it."""
    sidecar = start(sidecar_process, redis_url=redis_url, settings={"MEMSIDECAR_SHUTDOWN_TIMEOUT_S": "0"})
    workers = await pids(sidecar)
    await freeze(workers[0])
    sidecar.terminate()
    assert await asyncio.to_thread(sidecar.wait, STOP_MARGIN_S + 20) == 1
    assert sum('"event": "worker.ended"' in line and "SIGKILL" in line for line in sidecar.tail()) == 1
    assert not any(map(alive, workers))


async def test_a_stop_in_the_middle_of_the_start(redis_url: str, sidecar_process: StartSidecar) -> None:
    """SIGTERM before all workers are up ends the whole with code 0, and leaves none."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_WORKERS": "2"}, wait=False)

    async def spawned() -> list[int]:
        try:
            return [pid for pid in await pids(sidecar) if pid]
        except OSError:
            return []

    workers = await eventually(spawned, limit_s=START_LIMIT_S)
    sidecar.terminate()
    assert await asyncio.to_thread(sidecar.wait, START_LIMIT_S) == 0
    assert workers
    assert not any(map(alive, workers))
    assert not sidecar.has_printed("Traceback")


async def test_a_worker_that_cannot_start_any_more(
    redis_url: str, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Its place is tried again after rests that double, while the other one serves; once it can start, it is back."""
    definitions = definitions_file(tmp_path, id="chat")
    sidecar = start(sidecar_process, redis_url=redis_url, definitions=definitions)
    async with crowd(sidecar, 2) as made:
        write_nonsense(definitions)
        os.kill((await pids(sidecar))[0], signal.SIGKILL)

        def rests() -> list[float]:
            died = [json.loads(line) for line in sidecar.tail() if '"event": "worker.died"' in line]
            return [line["again_in_s"] for line in died if line["worker"] == 1]

        await eventually(lambda: len(rests()) >= 4, limit_s=START_LIMIT_S, why="its place is not tried again")
        assert rests()[:4] == [FIRST_REST_S * 2**tries for tries in range(4)]
        assert sorted(await asyncio.gather(*map(ping, made))) == [False, True]
        assert any("exit code 2" in line for line in sidecar.tail())
        definitions_file(tmp_path, id="chat")

        async def back() -> bool:
            return all(worker["up"] for worker in (await state(sidecar))["workers"])

        await eventually(back, limit_s=START_LIMIT_S, why="it does not come back")


def write_nonsense(definitions: Path) -> None:
    definitions.write_text("definitions: none")


async def ping(client: redis.asyncio.Redis) -> bool:
    """Whether a client's connection lives."""
    try:
        return bool(await client.ping())
    except redis.exceptions.ConnectionError:
        return False


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


async def test_no_worker_outlives_its_supervisor(redis_url: str, sidecar_process: StartSidecar) -> None:
    """When the supervisor is killed, the workers end by themselves, those with clients too."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    workers = await pids(sidecar)
    async with crowd(sidecar, 2) as made:
        os.kill(sidecar.pid, signal.SIGKILL)
        await eventually(lambda: not any(map(alive, workers)), limit_s=30, why="an orphan is left")
        assert made


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


async def test_a_worker_that_hangs_is_told_of(redis_url: str, sidecar_process: StartSidecar) -> None:
    """One that does not answer makes the sidecar not ready, and its last counts stay in the sum."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    async with patient(sidecar.url) as client:
        await run(client, "MEMAPPEND", "chat:1", "user", "hello")
    assert await appends(sidecar) == 1
    workers = await pids(sidecar)
    for pid in workers:
        await freeze(pid)
    try:
        status, said = await asyncio.to_thread(page, sidecar, "/readyz")
        assert (status, said) == (503, "worker 1: it does not answer\n")
        assert await appends(sidecar) == 1
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
