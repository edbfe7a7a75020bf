"""Commands that were slow, or failed by no fault of their client: one line each, found by the id in the reply."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.servers import SidecarProcess
from sidecar.memory.label import label
from tests.e2e.agents import run
from tests.support.children import StartRedis, StartSidecar, freeze
from tests.support.waiting import eventually

JOHN = label("default", "chat:john")
QUICK = {"MEMSIDECAR_SLOW_COMMAND_MS": "50", "MEMSIDECAR_COMMAND_TIMEOUT_S": "0.5"}


async def line(sidecar: SidecarProcess, **facts: object) -> dict[str, Any]:
    """Wait until the log has a line with these facts; return the first one."""

    def found() -> dict[str, Any] | None:
        lines = (json.loads(each) for each in sidecar.tail() if '"command.' in each)
        return next((each for each in lines if facts.items() <= each.items()), None)

    there = await eventually(found, why=f"no line in the log with {facts}")
    assert there is not None
    return there


async def test_slow_and_failed_commands(start_redis: StartRedis, sidecar_process: StartSidecar) -> None:
    """Redis stands still: what it answers late is slow, what it does not answer at all has failed; both are there."""
    server = start_redis()
    sidecar = sidecar_process(redis_url=server.url, settings=QUICK)
    async with (
        redis.asyncio.Redis.from_url(server.url) as direct,
        redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as client,
    ):
        await run(client, "MEMAPPEND", "chat:john", "user", "hello")
        assert not any('"command.' in each for each in sidecar.tail())

        await direct.client_pause(150)
        await run(client, "MEMINFO", "chat:john")
        slow = await line(sidecar, event="command.slow")
        assert (slow["command"], slow["outcome"], slow["memory"]) == ("MEMINFO", "ok", JOHN)
        assert slow["ms"] >= 50

        await freeze(server.pid)
        with pytest.raises(redis.exceptions.ResponseError, match=r"^UNCERTAIN .* \(request [0-9a-f]{12}\)$") as problem:
            await run(client, "MEMINFO", "chat:john")
        os.kill(server.pid, signal.SIGCONT)
        request = re.findall(r"request (\w+)", str(problem.value))[0]
        failed = await line(sidecar, event="command.failed", request=request)
        assert (failed["command"], failed["outcome"], failed["memory"]) == ("MEMINFO", "UNCERTAIN", JOHN)
    assert not any("john" in each for each in sidecar.tail())
