"""A sidecar process starts, tells whether it is ready, and stops, whatever the state of what it depends on."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable
from typing import Any

import pytest
import redis
import redis.asyncio

from sidecar.dev.ports import free_port
from tests.e2e.agents import run
from tests.support.children import StartRedis, StartSidecar
from tests.support.waiting import eventually


def page(url: str) -> tuple[int, str]:
    """Return status and body of an HTTP page."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


async def test_readiness_is_redis_s_and_nothing_else_s(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """/readyz is 200 while Redis answers, with Temporal away too, and 503 while it does not; /healthz is always 200."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url, engine="temporal", temporal_address=f"127.0.0.1:{free_port()}")
    ready, alive = (sidecar.metrics_url.replace("metrics", path) for path in ("readyz", "healthz"))

    def status(url: str) -> Awaitable[tuple[int, str]]:
        return asyncio.to_thread(page, url)

    await eventually(lambda: _is(status(ready), 200), why="not ready although Redis answers")
    server.kill()
    await eventually(lambda: _is(status(ready), 503), why="ready although Redis is dead")
    assert (await status(alive))[0] == 200
    server.start()
    await eventually(lambda: _is(status(ready), 200), why="not ready although Redis is back")


async def _is(page_read: Awaitable[tuple[int, str]], wanted: int) -> bool:
    return (await page_read)[0] == wanted


async def test_commands_work_again_when_redis_is_back(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """While Redis is down clients are turned away as by Redis itself; once it is back, new ones are served."""
    server = start_redis(appendonly=True)
    sidecar = sidecar_process(redis_url=server.url)

    async def append() -> Any:
        async with redis.asyncio.Redis.from_url(sidecar.url) as client:
            try:
                return await run(client, "MEMAPPEND", "k", "user", "hello")
            except (redis.exceptions.ConnectionError, redis.exceptions.ResponseError):
                return None

    assert await append()
    server.kill()
    assert await append() is None
    server.start()
    await eventually(append, why="the sidecar did not come back to Redis")


@pytest.mark.parametrize("_round", range(4))
def test_a_sidecar_that_is_stopped_at_once_ends(redis_url: str, sidecar_process: StartSidecar, _round: int) -> None:
    """SIGTERM right after the start ends the process with exit code 0, although its tasks are still connecting."""
    sidecar = sidecar_process(redis_url=redis_url)
    assert sidecar.stop(), "it had to be killed"
    assert sidecar.exit_code == 0


def test_a_busy_port_is_said_and_not_traced(redis_url: str, sidecar_process: StartSidecar) -> None:
    """A second sidecar on the same port names the setting and the address, with exit code 2."""
    first = sidecar_process(redis_url=redis_url)
    second = sidecar_process(redis_url=redis_url, port=first.port, wait=False)
    assert second.wait(20)
    assert second.exit_code == 2
    assert second.has_printed(f"listen: cannot listen on 127.0.0.1:{first.port}")
    assert not second.has_printed("Traceback")
