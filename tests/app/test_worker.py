"""A process that a supervisor spawns, here one that does as it is told: what becomes of it in every case."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from sidecar.app.worker import STARTING, Post, Worker
from tests.support.waiting import eventually

PROGRAM = """
import json, signal, socket, sys, time
number, clients, talk = map(int, sys.argv[-1].split(":"))
talk = socket.socket(fileno=talk)
say = lambda **what: talk.sendall(json.dumps(what).encode() + b"\\n")
families = [["n", "counter", "A number.", [["n_total", [["of", str(number)]], 7.0]]]]
"""


def nothing() -> None:
    """Take note of nothing."""


def worker(does: str, number: int = 1) -> Worker:
    return Worker(number, [sys.executable, "-c", PROGRAM + does], on_room=nothing, on_missed=nothing)


def test_a_post_is_read_as_it_is_written() -> None:
    """What the process is told on its command line is what the supervisor meant."""
    assert Post.parse(str(Post(3, 14, 15))) == Post(3, 14, 15)
    with pytest.raises(ValueError, match="values to unpack"):
        Post.parse("3:14")


async def test_one_that_reports_and_ends() -> None:
    """It is up when it says so, its last report stays when it has ended, and its exit code is told."""
    made = worker(
        'say(up=1); talk.recv(99); say(report={"not_ready": "tired", "health": {}, "families": families}); sys.exit(3)'
    )
    assert (made.up, made.served, made.not_ready, made.pid) == (False, False, STARTING, None)
    running = asyncio.create_task(made.run())
    async with asyncio.timeout(30):
        await made.began()
        assert (made.up, made.not_ready) == (True, None)
        await made.look()
        assert await running == 3
    assert (made.up, made.served, made.not_ready) == (False, True, "tired")
    assert made.last[0].samples == {("n_total", (("of", "1"),)): 7.0}


async def test_one_that_dies_without_a_word() -> None:
    """The signal that ended it is told, and asking it is no trouble."""
    made = worker("signal.raise_signal(signal.SIGKILL)")
    assert await asyncio.wait_for(made.run(), 30) == -signal.SIGKILL
    await made.look()
    assert (made.up, made.served, made.last, made.has_room) == (False, False, [], False)


async def test_one_that_says_nothing_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limit it is told to be one that does not answer; it can still be ended."""
    monkeypatch.setattr("sidecar.app.worker.REPORT_LIMIT_S", 0.1)  # only to be quicker
    made = worker("say(up=1); signal.pause()")
    running = asyncio.create_task(made.run())
    await made.began()
    await made.look()
    assert made.not_ready == "it does not answer"
    made.terminate()
    assert await asyncio.wait_for(running, 30) == -signal.SIGTERM


async def test_one_that_is_to_end_before_it_is_there() -> None:
    """A signal that is sent before the process exists reaches it all the same."""
    made = worker("signal.pause()")
    running = asyncio.create_task(made.run())
    made.kill()
    assert await asyncio.wait_for(running, 30) == -signal.SIGKILL
    made.terminate()  # of one that has ended: nothing happens


async def test_one_that_cannot_be_spawned() -> None:
    """A program that is not there is an error, and leaves nothing open."""
    made = Worker(1, ["/no/such/program"], on_room=nothing, on_missed=nothing)
    with pytest.raises(FileNotFoundError):
        await made.run()
    assert not made.has_room


async def test_ctrl_c_is_the_supervisor_s() -> None:
    """A worker is in a session of its own, so that a terminal's signals do not reach it."""
    made = worker("import os; say(up=1); talk.recv(99); sys.exit(os.getsid(0) == os.getpid())")
    running = asyncio.create_task(made.run())
    await made.began()
    made.reload()
    assert await asyncio.wait_for(running, 30) == 1
    await eventually(lambda: not made.up)
