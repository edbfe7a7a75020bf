"""Errors whose cause lies behind the sidecar: each begins with the word that the contract gives it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.contract.speaking import Speaker
from tests.e2e.dialogue import Refusal
from tests.support.children import StartRedis, StartSidecar, freeze
from tests.support.clusters import start_cluster
from tests.support.waiting import eventually

IMPATIENT = {"MEMSIDECAR_COMMAND_TIMEOUT_S": "0.5"}
"""Tests of a Redis that does not answer wait this long each time."""


class Troubled:
    """A sidecar, the Redis behind it, and one client of each that connected while all was well."""

    def __init__(self, server: RedisServer, sidecar: SidecarProcess) -> None:
        self.server = server
        self.sidecar = sidecar
        self.admin = redis.Redis(port=server.port, decode_responses=True, single_connection_client=True)
        self.speaker = Speaker(sidecar.port, 3)
        assert self.speaker.map("MEMAPPEND", "m", "user", "hello")["messages"] == 1

    def redis(self, *words: str) -> Any:
        """Ask Redis itself."""
        return self.admin.execute_command(*words)  # type: ignore[no-untyped-call]

    def first_word(self, *words: str) -> str:
        """Return the first word of the error that the sidecar answers."""
        reply = self.speaker.ask(*words)
        assert isinstance(reply, Refusal), reply
        return reply.line.partition(" ")[0]

    def close(self) -> None:
        self.admin.close()
        self.speaker.close()


@pytest.fixture
def troubled(start_redis: StartRedis, sidecar_process: StartSidecar) -> Iterator[Troubled]:
    """A Redis of the test's own, to get into trouble."""
    server = start_redis()
    troubled = Troubled(server, sidecar_process(redis_url=server.url, settings=IMPATIENT))
    yield troubled
    troubled.close()


APPEND = ("MEMAPPEND", "m", "user", "hello")


async def test_the_words_of_redis_are_passed_on(troubled: Troubled, tmp_path: Path) -> None:
    """OOM, MISCONF, READONLY and BUSY come as they are, nothing is stored, and afterwards all is well."""
    troubled.redis("CONFIG", "SET", "maxmemory", "1")
    assert troubled.first_word(*APPEND) == "OOM"
    troubled.redis("CONFIG", "SET", "maxmemory", "0")

    gone = tmp_path / "gone"
    gone.mkdir()
    troubled.redis("CONFIG", "SET", "save", "3600 1000000")
    troubled.redis("CONFIG", "SET", "dir", str(gone))
    gone.rmdir()
    troubled.redis("BGSAVE")
    await eventually(lambda: troubled.admin.info("persistence")["rdb_last_bgsave_status"] == "err")
    assert troubled.first_word(*APPEND) == "MISCONF"
    troubled.redis("CONFIG", "SET", "save", "")

    troubled.redis("CONFIG", "SET", "lua-time-limit", "10")
    with redis.Redis(port=troubled.server.port) as endless:
        script = threading.Thread(target=lambda: _killed(endless))
        script.start()
        await eventually(lambda: troubled.first_word_of_redis() == "BUSY")
        assert troubled.first_word(*APPEND) == "BUSY"
        troubled.redis("SCRIPT", "KILL")
        script.join()

    assert troubled.speaker.map("MEMINFO", "m")["messages"] == 1
    assert troubled.speaker.map(*APPEND)["messages"] == 2
