"""Errors whose cause lies behind the sidecar: each begins with the word that the contract gives it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.contract.speaking import Speaker
from tests.e2e.dialogue import Refusal
from tests.support.children import StartRedis, StartSidecar, freeze
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

    def busy(self) -> bool:
        """Whether Redis itself says so."""
        try:
            self.redis("GET", "k")
        except redis.ResponseError as problem:
            return str(problem).startswith("BUSY ")
        return False

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


def run_for_ever(server: RedisServer) -> None:
    """Keep Redis busy with a script until somebody kills it."""
    with redis.Redis(port=server.port) as client, pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


async def test_the_words_of_redis_are_passed_on(troubled: Troubled, tmp_path: Path) -> None:
    """OOM, MISCONF, BUSY and READONLY come as they are, nothing is stored, and afterwards all is well."""
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
    script = threading.Thread(target=run_for_ever, args=(troubled.server,))
    script.start()
    await eventually(troubled.busy)
    assert troubled.first_word(*APPEND) == "BUSY"
    troubled.redis("SCRIPT", "KILL")
    script.join()

    assert troubled.speaker.map("MEMINFO", "m")["messages"] == 1
    assert troubled.speaker.map(*APPEND)["messages"] == 2


def test_a_replica_refuses_in_redis_s_own_words(troubled: Troubled) -> None:
    """READONLY is passed on, and reads go on."""
    troubled.redis("REPLICAOF", "127.0.0.1", "1")
    assert troubled.first_word(*APPEND) == "READONLY"
    assert troubled.speaker.map("MEMINFO", "m")["messages"] == 1


def test_a_redis_that_admits_nobody_is_unavailable(troubled: Troubled) -> None:
    """UNAVAILABLE says that nothing was sent; once Redis admits us again, the same command is executed."""
    own = [each["id"] for each in troubled.admin.client_list() if each["name"] == "memsidecar"]
    assert own
    troubled.redis("CONFIG", "SET", "maxclients", "1")
    for number in own:
        troubled.redis("CLIENT", "KILL", "ID", number)
    reply = troubled.speaker.ask(*APPEND)
    assert isinstance(reply, Refusal)
    assert reply.line.startswith("UNAVAILABLE Redis cannot be reached (")
    assert reply.line.endswith("); nothing was sent, safe to retry")
    health = troubled.speaker.map("MEMHEALTH")
    assert (health["healthy"], health["redis"]) == (False, {"up": False, "round-trip-ms": None})
    troubled.redis("CONFIG", "SET", "maxclients", "100")
    assert troubled.speaker.map(*APPEND)["messages"] == 2


async def test_a_redis_that_does_not_answer_leaves_it_uncertain(troubled: Troubled) -> None:
    """After UNCERTAIN the same IDEMPOTENT token tells: however often it is sent, it is stored once."""
    again = ("MEMAPPEND", "m", "IDEMPOTENT", "once", "user", "hello")
    await freeze(troubled.server.pid)
    try:
        assert troubled.first_word(*again) == "UNCERTAIN"
    finally:
        os.kill(troubled.server.pid, signal.SIGCONT)
    assert troubled.speaker.map(*again)["messages"] == 2
    assert troubled.speaker.map(*again)["duplicate"] is True
    assert troubled.speaker.map("MEMINFO", "m")["messages"] == 2


def test_a_flush_that_fails_leaves_the_memory_as_it_was(troubled: Troubled) -> None:
    """FLUSHFAILED gives the reason, MEMINFO shows it too, and the messages are all there."""
    troubled.speaker.ask("MEMAPPEND", "m", *["user", "hello"] * 9)
    (log,) = troubled.admin.scan_iter("mem:log:*")
    troubled.admin.set(log.replace(":log:", ":work:"), "of another type")
    reply = troubled.speaker.ask("MEMFLUSH", "m", "FORCE", "WAIT", "10000")
    assert isinstance(reply, Refusal)
    assert reply.line.startswith("FLUSHFAILED ")
    assert reply.line.endswith("; the memory is as it was")
    info = troubled.speaker.map("MEMINFO", "m")
    assert (info["messages"], info["flush"]) == (10, "failed")
    assert info["last-flush-error"]


def test_without_its_engine_no_flush_starts(redis_url: str, sidecar_process: StartSidecar) -> None:
    """MEMFLUSH says `failed` and why, MEMHEALTH that the engine is down, and the sidecar is healthy all the same."""
    nowhere = f"127.0.0.1:{free_port()}"
    sidecar = sidecar_process(redis_url=redis_url, engine="temporal", temporal_address=nowhere)
    speaker = Speaker(sidecar.port, 3)
    assert speaker.map("MEMAPPEND", "m", "user", "hello")["appended"] == 1
    report = speaker.map("MEMFLUSH", "m", "FORCE")
    assert list(report) == ["status", "error"]
    assert report["status"] == "failed"
    assert report["error"].endswith("a memory that is due is flushed once the engine is back")
    health = speaker.map("MEMHEALTH")
    assert health["flush-engine"] == {"name": "temporal", "up": False}
    assert health["healthy"] is True
    speaker.close()
