"""`memsidecar dev` as a user runs it: a real process, real servers, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.dev.ports import LOOPBACK, free_port, is_free
from sidecar.dev.problems import ChildFailed
from sidecar.dev.processes import ChildProcess
from tests.support.children import Children, alive, freeze
from tests.support.waiting import eventually

STARTED = "Ctrl-C stops everything."
EXIT_LIMIT_S = 60.0
"""For stopping four programs on a busy machine; an idle one needs two seconds, most of them Temporal's."""


class Dev(ChildProcess):
    """One `memsidecar dev` on free ports, with its temporary files in `temporary`."""

    ready_limit_s = 60.0
    ready_sign = "it did not show its banner"

    def __init__(self, temporary: Path, *options: str, port: int | None = None) -> None:
        super().__init__("dev", env={"PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)})
        self.port = free_port() if port is None else port
        self.metrics_port = free_port()
        self._options = options

    def command(self) -> Sequence[str | Path]:
        ports = ["--port", str(self.port), "--metrics-port", str(self.metrics_port)]
        return [sys.executable, "-m", "sidecar", "dev", *ports, *self._options]

    def is_ready(self) -> bool:
        return self.has_printed(STARTED)

    def interrupt(self) -> None:
        """Press Ctrl-C, as far as this process is concerned."""
        os.kill(self.pid, signal.SIGINT)

    def client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, protocol=3, decode_responses=True)

    def workers(self) -> dict[str, int]:
        """Return the processes that the sidecar says it has: the name of each and its process id."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.metrics_port}/workers", timeout=10) as page:
            return {f"worker {told['worker']}": told["pid"] for told in json.load(page)["workers"]}

    def programs(self) -> dict[str, int]:
        """Return what it has started: the name of each program and its process id."""
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=2) for line in table.stdout.splitlines()]
        mine = {int(pid): arguments for pid, parent, arguments in rows if int(parent) == self.pid}
        words = {
            "redis-server": "redis",
            "temporal server": "temporal",
            "sidecar serve": "sidecar",
            "sidecar worker": "worker",
        }
        return {name: pid for word, name in words.items() for pid, arguments in mine.items() if word in arguments}


def run(client: redis.Redis, *command: str) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def has_ended(pid: int) -> bool:
    return not alive(pid)


async def gone(programs: dict[str, int]) -> None:
    for name, pid in programs.items():
        await eventually(partial(has_ended, pid), why=f"{name} (process {pid}) is still there")


async def test_everything_works_and_stops(children: Children, tmp_path: Path, temporal_program: Path) -> None:
    """One command starts Redis, Temporal, sidecar and worker, all of it works together, and Ctrl-C ends all of it."""
    dev = children.add(Dev(tmp_path))
    programs = dev.programs()
    assert programs.keys() == {"redis", "temporal", "sidecar", "worker"}
    shown = "\n".join(dev.tail())
    assert f"Sidecar   {LOOPBACK}:{dev.port}" in shown
    assert "by Temporal, on the worker" in shown
    assert f"http://{LOOPBACK}:{dev.metrics_port}/metrics" in shown
    assert f"-p {dev.port} MEMAPPEND chat:42" in shown
    with dev.client() as client:
        assert client.set("greeting", "hello")
        assert client.get("greeting") == "hello"
        appended = run(client, "MEMAPPEND", "chat:42", "user", "My name is Ada.", "assistant", "Hello Ada!")
        assert appended["appended"] == 2
        contents = [message["content"] for message in run(client, "MEMREAD", "chat:42")["messages"]]
        assert contents == ["My name is Ada.", "Hello Ada!"]
        assert run(client, "MEMFLUSH", "chat:42", "FORCE", "WAIT", "20000")["status"] == "done"
    dev.interrupt()
    assert dev.wait(EXIT_LIMIT_S) == 0
    assert dev.tail()[-1] == "Everything has stopped."
    await gone(programs)
    assert is_free(dev.port)
    assert is_free(dev.metrics_port)
    assert os.listdir(tmp_path) == []


async def test_data_is_kept(children: Children, tmp_path: Path, temporal_program: Path) -> None:
    """With --data, keys and memories are there again after a stop and a start."""
    dev = children.add(Dev(tmp_path, "--data", str(tmp_path / "data")))
    with dev.client() as client:
        client.set("greeting", "hello")
        run(client, "MEMAPPEND", "chat:42", "user", "My name is Ada.")
    dev.terminate()
    assert dev.wait(EXIT_LIMIT_S) == 0
    assert dev.tail()[-1] == f"Everything has stopped. The data is kept in {tmp_path / 'data'}."
    assert (tmp_path / "data" / "temporal.db").is_file()
    dev.start()
    with dev.client() as client:
        assert client.get("greeting") == "hello"
        messages = run(client, "MEMREAD", "chat:42")["messages"]
        assert [message["content"] for message in messages] == ["My name is Ada."]


def test_a_busy_port(children: Children, tmp_path: Path) -> None:
    """A taken port ends it at once, with a text that names the option."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ChildFailed, match=f"exit code 1.*\n.*port {port} on 127.0.0.1.*--port"):
            children.add(Dev(tmp_path, "--engine", "local", port=port))


async def test_the_local_engine(children: Children, tmp_path: Path) -> None:
    """With the local engine there is no Temporal and no worker, and flushes work all the same."""
    dev = children.add(Dev(tmp_path, "--engine", "local"))
    assert dev.programs().keys() == {"redis", "sidecar"}
    assert dev.has_printed("by the sidecar itself (local engine)")
    with dev.client() as client:
        run(client, "MEMAPPEND", "chat:42", "user", "hi")
        assert run(client, "MEMFLUSH", "chat:42", "FORCE", "WAIT", "20000")["status"] == "done"


async def test_workers(children: Children, tmp_path: Path) -> None:
    """With --workers the sidecar has so many processes, and Ctrl-C ends all of them."""
    dev = children.add(Dev(tmp_path, "--engine", "local", "--workers", "2"))
    workers = dev.workers()
    assert workers.keys() == {"worker 1", "worker 2"}
    with dev.client() as client:
        assert run(client, "MEMAPPEND", "chat:42", "user", "hi")["appended"] == 1
    dev.interrupt()
    assert dev.wait(EXIT_LIMIT_S) == 0
    await gone(workers)


async def test_a_redis_of_ones_own(children: Children, tmp_path: Path, redis_url: str) -> None:
    """With --redis no Redis is started, and what is written lands in the given one."""
    dev = children.add(Dev(tmp_path, "--engine", "local", "--redis", redis_url))
    assert dev.programs().keys() == {"sidecar"}
    with dev.client() as client, redis.Redis.from_url(redis_url) as behind:
        client.set("greeting", "hello")
        assert behind.get("greeting") == b"hello"


@pytest.mark.parametrize("victim", ["redis", "sidecar"])
async def test_a_program_that_dies_ends_everything(children: Children, tmp_path: Path, victim: str) -> None:
    """When one program dies, the rest is stopped, the text says which one it was, and the exit code is 1."""
    dev = children.add(Dev(tmp_path, "--engine", "local"))
    programs = dev.programs()
    os.kill(programs[victim], signal.SIGKILL)
    assert dev.wait(EXIT_LIMIT_S) == 1
    shown = "\n".join(dev.tail())
    assert re.search(rf"^memsidecar dev: {victim} was ended by signal 9\.", shown, re.MULTILINE)
    await gone(programs)


async def test_a_second_ctrl_c_kills(children: Children, tmp_path: Path) -> None:
    """When a program does not stop, a second Ctrl-C ends everything at once, with the exit code of shells."""
    dev = children.add(Dev(tmp_path, "--engine", "local"))
    programs = dev.programs()
    await freeze(programs["sidecar"])
    dev.interrupt()
    await eventually(lambda: dev.has_printed("Stopping sidecar, redis"), why="the first Ctrl-C was not heard")
    dev.interrupt()
    assert dev.wait(15) == 130, "it waits for the one that does not stop"
    await gone(programs)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children whose parent was killed")
async def test_nothing_outlives_a_killed_dev(children: Children, tmp_path: Path) -> None:
    """Even when it is killed and can stop nothing itself, no program stays behind."""
    dev = children.add(Dev(tmp_path, "--engine", "local"))
    programs = dev.programs()
    assert programs.keys() == {"redis", "sidecar"}
    os.kill(dev.pid, signal.SIGKILL)
    await gone(programs)
