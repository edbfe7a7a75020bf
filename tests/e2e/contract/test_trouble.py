"""Errors whose cause lies behind the sidecar: each begins with the word that the contract gives it."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.commands.table import COMMANDS
from sidecar.dev.ports import free_port
from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.contract.refusing import CHANGING
from tests.e2e.contract.speaking import Speaker, when_ready
from tests.e2e.dialogue import Refusal, Reply
from tests.support.children import Children, StartRedis, StartSidecar, freeze
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

    def begin(self) -> None:
        """Leave one message in one memory, and nothing else."""
        self.admin.flushall()
        assert self.speaker.map(*APPEND)["messages"] == 1

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


@pytest.fixture(scope="module")
def started(redis_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubled]:
    """A Redis to get into trouble, with a sidecar that is strict: started once, because that takes most of the time."""
    children, directory = Children(), tmp_path_factory.mktemp("trouble")
    definitions = directory / "definitions.yaml"
    definitions.write_text('{"strict": true, "definitions": [{"id": "chat"}]}')
    server = StartRedis(children, directory, redis_program)()
    start = StartSidecar(children)
    sidecar = start(redis_url=server.url, definitions=definitions, settings=IMPATIENT, wait=False)
    troubled = Troubled(server, when_ready(sidecar))
    yield troubled
    troubled.close()
    children.stop_all()


@pytest.fixture
def troubled(started: Troubled) -> Troubled:
    """All is well: the Redis answers, and one memory has one message."""
    started.begin()
    return started


ARGUMENTS = {**CHANGING, "MEMFORK": "chat:1"}
"""What commands need behind their key."""


APPEND = ("MEMAPPEND", "chat:m", "user", "hello")


def run_for_ever(server: RedisServer) -> None:
    """Keep Redis busy with a script until somebody kills it."""
    with redis.Redis(port=server.port) as client, pytest.raises(redis.ResponseError):
        client.eval("while true do end", 0)


def stored(reply: Reply) -> Any:
    """Return the reply of an append, or nothing if it was refused."""
    return None if isinstance(reply, Refusal) else reply


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

    assert troubled.speaker.map("MEMINFO", "chat:m")["messages"] == 1
    assert troubled.speaker.map(*APPEND)["messages"] == 2


def test_a_replica_refuses_in_redis_s_own_words(troubled: Troubled) -> None:
    """READONLY is passed on, and reads go on."""
    troubled.redis("REPLICAOF", "127.0.0.1", "1")
    assert troubled.first_word(*APPEND) == "READONLY"
    assert troubled.speaker.map("MEMINFO", "chat:m")["messages"] == 1
    troubled.redis("REPLICAOF", "NO", "ONE")
    assert troubled.speaker.map(*APPEND)["messages"] == 2


async def test_a_redis_that_admits_nobody_is_unavailable(troubled: Troubled) -> None:
    """UNAVAILABLE says that nothing was sent; once Redis admits us again, the same command is executed."""
    own = [each["id"] for each in troubled.admin.client_list() if each["name"] == "memsidecar"]
    assert own
    troubled.redis("CONFIG", "SET", "maxclients", "1")
    for number in own:
        troubled.redis("CLIENT", "KILL", "ID", number)
    reply = troubled.speaker.ask(*APPEND)
    assert isinstance(reply, Refusal)
    assert reply.line.startswith("UNAVAILABLE Redis cannot be reached (")
    assert re.search(r"\); nothing was sent, safe to retry \(request [0-9a-f]{12}\)$", reply.line)
    health = troubled.speaker.map("MEMHEALTH")
    found = health["redis"]
    assert (health["healthy"], found["state"], found["up"], found["round-trip-ms"]) == (False, "down", False, None)
    troubled.redis("CONFIG", "SET", "maxclients", "10000")
    again = await eventually(lambda: stored(troubled.speaker.ask(*APPEND)), why="it is unavailable for ever")
    assert again["messages"] == 2


async def test_a_redis_that_does_not_answer_leaves_it_uncertain(troubled: Troubled) -> None:
    """After UNCERTAIN the same IDEMPOTENT token tells: however often it is sent, it is stored once."""
    again = ("MEMAPPEND", "chat:m", "IDEMPOTENT", "once", "user", "hello")
    await freeze(troubled.server.pid)
    try:
        assert troubled.first_word(*again) == "UNCERTAIN"
    finally:
        os.kill(troubled.server.pid, signal.SIGCONT)
    assert troubled.speaker.map(*again)["messages"] == 2
    assert troubled.speaker.map(*again)["duplicate"] is True
    assert troubled.speaker.map("MEMINFO", "chat:m")["messages"] == 2


def test_a_flush_that_fails_leaves_the_memory_as_it_was(troubled: Troubled) -> None:
    """FLUSHFAILED gives the reason, MEMINFO shows it too, and the messages are all there."""
    troubled.speaker.ask("MEMAPPEND", "chat:m", *["user", "hello"] * 9)
    (log,) = troubled.admin.scan_iter("mem:log:*")
    work = log.replace(":log:", ":work:")
    troubled.admin.set(work, "of another type")
    reply = troubled.speaker.ask("MEMFLUSH", "chat:m", "FORCE", "WAIT", "10000")
    assert isinstance(reply, Refusal)
    assert reply.line.startswith("FLUSHFAILED ")
    assert re.search(r"; the memory is as it was \(request [0-9a-f]{12}\)$", reply.line)
    info = troubled.speaker.map("MEMINFO", "chat:m")
    assert (info["messages"], info["flush"]) == (10, "failed")
    assert info["last-flush-error"]


def test_a_strict_sidecar_knows_only_its_definitions(troubled: Troubled) -> None:
    """Under `strict`, a key of no definition is NOMEMORY for every command that takes one, templates included."""
    speaker = troubled.speaker
    for command in COMMANDS.values():
        if "NOMEMORY" in command.errors and command.keys:
            reply = speaker.ask(*f"{command.name} other:1 {ARGUMENTS.get(command.name, '')}".split())
            assert isinstance(reply, Refusal), command.name
            assert reply.line.startswith("NOMEMORY no memory definition for key 'other:1'; "), command.name
    as_template = ("MEMREAD", "{{ user }}:1", "FORMAT", "OPENAI", "CONTEXT")
    assert troubled.first_word(*as_template, '{"user":"ann"}') == "NOMEMORY"
    assert speaker.ask(*as_template, '{"user":"chat"}') == "[]"
    assert speaker.ask("MEMDEFS") == ["chat"]


def test_without_its_engine_no_flush_starts(redis_url: str, sidecar_process: StartSidecar) -> None:
    """MEMFLUSH says `failed` and why, MEMHEALTH that the engine is down, and the sidecar is healthy all the same."""
    nowhere = f"127.0.0.1:{free_port()}"
    sidecar = sidecar_process(redis_url=redis_url, engine="temporal", temporal_address=nowhere, wait=False)
    speaker = Speaker(when_ready(sidecar).port, 3)
    assert speaker.map("MEMAPPEND", "m", "user", "hello")["appended"] == 1
    report = speaker.map("MEMFLUSH", "m", "FORCE")
    assert list(report) == ["status", "error"]
    assert report["status"] == "failed"
    assert report["error"].endswith("a memory that is due is flushed once the engine is back")
    health = speaker.map("MEMHEALTH")
    engine = health["flush-engine"]
    assert (engine["name"], engine["up"], engine["state"]) == ("temporal", False, "down")
    assert health["healthy"] is True
    speaker.close()
