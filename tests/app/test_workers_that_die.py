"""Workers, and supervisors, that die or hang: what it means for clients, for counts, and for those who are left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import redis.asyncio

from sidecar.app.supervising import FIRST_REST_S, LOOK_INTERVAL_S, STOP_MARGIN_S
from tests.app.workforce import (
    START_LIMIT_S,
    appends,
    crowd,
    page,
    pids,
    ping,
    rising,
    start,
    state,
)
from tests.e2e.agents import definitions_file, patient, run
from tests.e2e.ledger import Ledger
from tests.support.children import StartSidecar, alive, freeze
from tests.support.waiting import eventually


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


async def test_no_worker_outlives_its_supervisor(redis_url: str, sidecar_process: StartSidecar) -> None:
    """When the supervisor is killed, the workers end by themselves, those with clients too."""
    sidecar = start(sidecar_process, redis_url=redis_url)
    workers = await pids(sidecar)
    async with crowd(sidecar, 2) as made:
        os.kill(sidecar.pid, signal.SIGKILL)
        await eventually(lambda: not any(map(alive, workers)), limit_s=30, why="an orphan is left")
        assert made


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
