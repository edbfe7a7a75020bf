"""A large flush of a real sidecar: a process of its own does the work, and goes with it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer, SidecarProcess
from sidecar.flush.deputised import LARGE_MESSAGES
from tests.e2e.agents import SPACE, as_map, definitions_file, meta, patient, run, stored
from tests.support.certificates import Authority
from tests.support.children import StartRedis, StartSidecar, alive, freeze
from tests.support.tls_relay import tls_relay
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds the children of a process in /proc")

KEY = "large:one"

ORDER = ("MEMFLUSH", KEY, "TARGET", "30000", "FORCE", "STRATEGY", "hybrid_summary")

LIMIT_S = 30.0
"""For the start of a process on a machine that has more to do."""


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def child_of(sidecar: SidecarProcess) -> int:
    """Wait until the sidecar has started one."""
    (child,) = await eventually(lambda: children_of(sidecar.pid), limit_s=LIMIT_S)
    return child


async def fill(client: redis.asyncio.Redis) -> None:
    """Append as many messages as a large memory has."""
    for start in range(0, LARGE_MESSAGES, 500):
        turns = [word for number in range(start, start + 500) for word in ("user", f"Order {number} is for Ann.")]
        await run(client, "MEMAPPEND", KEY, *turns)


def is_deputy(pid: int) -> bool:
    return b"sidecar.deputy" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """A definition without limits: nothing is flushed by itself."""
    return definitions_file(tmp_path, id="large", max_tokens=None)


async def test_a_process_comes_for_a_large_flush_alone(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, definitions: Path
) -> None:
    """At rest, and after a small flush, the sidecar is alone; a large one starts a process, and SIGTERM ends both."""
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions)
    async with patient(sidecar.url) as client:
        await run(client, "MEMAPPEND", "large:small", *("user", "hello") * 10)
        await run(client, "MEMFLUSH", "large:small", "FORCE", "WAIT", "30000")
        assert children_of(sidecar.pid) == []
        await fill(client)
        done = as_map(await run(client, *ORDER, "WAIT", "60000"))
    child = await child_of(sidecar)
    assert is_deputy(child)
    assert done["status"] == "done"
    totals = await meta(redis_client, "large", "one")
    assert len(await stored(redis_client, "large", "one")) == LARGE_MESSAGES - int(done["removed"])
    assert "Ann" in totals["summary"]
    sidecar.stop()
    assert sidecar.exit_code == 0
    assert not alive(child)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_sidecar_that_ends_in_the_middle(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    sidecar_process: StartSidecar,
    definitions: Path,
    number: signal.Signals,
) -> None:
    """Killed, or stopped in order, it leaves no process behind and the memory as it was; another one flushes it."""
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions)
    async with patient(sidecar.url) as client:
        await fill(client)
        await run(client, *ORDER)
        child = await child_of(sidecar)
        await freeze(child)
    os.kill(sidecar.pid, number)
    await eventually(lambda: not alive(sidecar.pid))
    if number == signal.SIGKILL:
        os.kill(child, signal.SIGCONT)  # a frozen process ends for nobody but the sidecar, which has a limit for it
    await eventually(lambda: not alive(child))
    assert len(await stored(redis_client, "large", "one")) == LARGE_MESSAGES
    if number == signal.SIGKILL:
        await redis_client.hset(SPACE.keys("large", "one").meta, "flush_until", "0")  # its lease has run out
    heir = sidecar_process(redis_url=redis_url, definitions=definitions)
    async with patient(heir.url) as client:
        done = as_map(await run(client, *ORDER, "WAIT", "60000"))
    assert done["status"] == "done"
    assert len(await stored(redis_client, "large", "one")) == LARGE_MESSAGES - int(done["removed"])


async def test_with_a_password_and_tls(
    start_redis: StartRedis, sidecar_process: StartSidecar, definitions: Path, tmp_path: Path
) -> None:
    """The process reaches Redis as the sidecar does: with its user, over TLS, in its database."""
    servers = Authority(tmp_path, "servers")
    server: RedisServer = start_redis()
    async with redis.asyncio.Redis(port=server.port, db=2) as plain:
        await run(plain, "ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all")
        async with tls_relay(f"127.0.0.1:{server.port}", servers.issue("redis")) as relay:
            sidecar = sidecar_process(
                redis_url=f"rediss://ann:secret@localhost:{relay.port}/2",
                definitions=definitions,
                settings={
                    "MEMSIDECAR_REDIS_TLS_CA": str(servers.ca),
                    "MEMSIDECAR_KEY_PREFIX": "our",
                    "MEMSIDECAR_PROJECT": "shop",
                },
                wait=False,
            )
            await asyncio.to_thread(sidecar.wait_ready)
            async with patient(f"redis://ann:secret@127.0.0.1:{sidecar.port}/2") as client:
                await fill(client)
                done = as_map(await run(client, *ORDER, "WAIT", "60000"))
                assert is_deputy(await child_of(sidecar))
                names: Any = await plain.execute_command("CLIENT", "LIST")  # type: ignore[no-untyped-call]
            sidecar.stop()
    assert done["status"] == "done"
    assert "memsidecar-deputy" in str(names)


async def test_a_reload_gets_a_process_anew(redis_url: str, sidecar_process: StartSidecar, definitions: Path) -> None:
    """SIGHUP says that files have changed; the process that has read them ends."""
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions)
    async with patient(sidecar.url) as client:
        await fill(client)
        await run(client, *ORDER, "WAIT", "60000", "DRYRUN")
        child = await child_of(sidecar)
        os.kill(sidecar.pid, signal.SIGHUP)
        await eventually(lambda: not alive(child))
        await eventually(lambda: children_of(sidecar.pid) == [])  # its parent has taken note
