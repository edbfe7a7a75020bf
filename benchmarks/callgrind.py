"""Counts the instructions of a running server with valgrind's tool callgrind.

The server starts without counting, which is five times as slow as usual and not fifty times, until `Counting.begin`.
From then on `Counting.instructions` returns what has been executed since the last call; that is what valgrind's own
control program, vgdb, tells the server to write down. Instructions of the kernel are not seen, and neither is how long
one takes: memory that is not in a cache costs nothing here. The counterpart is `instructions`, which knows what to
count.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sidecar.dev.problems import ProgramMissing
from sidecar.dev.processes import ChildProcess
from sidecar.dev.servers import RedisServer, SidecarProcess

READY_LIMIT_S = 120.0
"""A sidecar needs 12 to 20 s to start under valgrind, most of it to import and to load the vocabulary."""

STOP_LIMIT_S = 30.0
"""A polite end is slow, too."""

ORDER_LIMIT_S = 60.0
"""For one order by vgdb. It takes 0.2 s, and longer where the server is in the middle of a long reply."""

COMMAND_TIMEOUT_S = 60.0
"""After which a sidecar that counts gives Redis up."""

SWEEP_INTERVAL_S = 3_600.0
"""It does not sweep while it counts: the clock, not the requests, says how often it does, and one sweep costs as much
as eighty appends."""

_TOTAL = re.compile(rb"^(?:summary|totals): (\d+)", re.MULTILINE)


class CountingFailed(Exception):
    """Valgrind did not do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Valgrind:
    """The two programs, and a directory for what they write.

    Args:
        directory: must exist; its path must have no `%`, which valgrind takes for a placeholder.
    """

    program: Path
    control: Path
    directory: Path

    def apart(self, name: str) -> Valgrind:
        """Return the same with a new directory inside this one: each server that counts needs one of its own."""
        directory = self.directory / name
        directory.mkdir()
        return replace(self, directory=directory)

    def before(self, command: Sequence[str | Path]) -> list[str | Path]:
        """Return a command line that runs `command` under callgrind, without counting yet."""
        own = [f"--callgrind-out-file={self.directory / 'counted'}", f"--vgdb-prefix={self.directory / 'vgdb'}"]
        return [self.program, "--tool=callgrind", "--instr-atstart=no", *own, *command]


def find_valgrind(directory: Path) -> Valgrind:
    """Return valgrind as it is on PATH.

    Raises:
        ProgramMissing: it is not there.
    """
    program, control = shutil.which("valgrind"), shutil.which("vgdb")
    if program is None or control is None:
        raise ProgramMissing(
            "valgrind" if program is None else "vgdb",
            searched=["on PATH"],
            remedy="install it (Debian: apt install valgrind; there is none for macOS on ARM)",
        )
    return Valgrind(Path(program), Path(control), directory)


class CountedSidecar(SidecarProcess):
    """`memsidecar serve` under callgrind, with more patience for Redis: 800 appends that come at once take it seconds.

    Its strings hash alike in every run, so that dictionaries do, too.
    """

    ready_limit_s = READY_LIMIT_S
    stop_limit_s = STOP_LIMIT_S

    def __init__(self, valgrind: Valgrind, **options: Any) -> None:
        """`options` are those of `SidecarProcess`."""
        own = {
            "PYTHONHASHSEED": "0",
            "MEMSIDECAR_COMMAND_TIMEOUT_S": f"{COMMAND_TIMEOUT_S:g}",
            "MEMSIDECAR_SWEEP_INTERVAL_S": f"{SWEEP_INTERVAL_S:g}",
        }
        super().__init__(**options | {"settings": {**options["settings"], **own}})
        self._valgrind = valgrind

    def command(self) -> Sequence[str | Path]:
        return self._valgrind.before(super().command())


class CountedRedis(RedisServer):
    """`redis-server` under callgrind. Its regular work, ten times a second as a rule, comes once a second: beside
    requests that take fifty times as long it would be counted fifty times as often."""

    ready_limit_s = READY_LIMIT_S
    stop_limit_s = STOP_LIMIT_S

    def __init__(self, valgrind: Valgrind, **options: Any) -> None:
        """`options` are those of `RedisServer`."""
        super().__init__(**options, arguments=("--hz", "1", "--dynamic-hz", "no"))
        self._valgrind = valgrind

    def command(self) -> Sequence[str | Path]:
        return self._valgrind.before(super().command())


class Counting:
    """What a server under callgrind executes.

    Args:
        server: one of the two above, running.
        valgrind: under which it runs.
    """

    def __init__(self, server: ChildProcess, valgrind: Valgrind) -> None:
        self._server = server
        self._valgrind = valgrind
        self._parts = 0
        self.profile: Path | None = None
        """What the last call of `instructions` was read from, for callgrind_annotate, until the next call."""

    def begin(self) -> None:
        """Count from now on. From now on the server is some fifty times as slow as without valgrind."""
        self._order("instrumentation", "on")

    def instructions(self) -> int:
        """Return how many instructions were executed since the last call, or since counting began.

        Raises:
            CountingFailed: valgrind does not answer.
        """
        self._order("dump")
        if self.profile is not None:
            self.profile.unlink()  # some megabytes each
        self._parts += 1
        self.profile = self._valgrind.directory / f"counted.{self._parts}"
        return total_of(self.profile)

    def _order(self, *words: str) -> None:
        prefix = f"--vgdb-prefix={self._valgrind.directory / 'vgdb'}"
        command: list[str | Path] = [self._valgrind.control, prefix, f"--pid={self._server.pid}", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ORDER_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise CountingFailed(f"vgdb said nothing for {ORDER_LIMIT_S:g} s to: {' '.join(words)}") from None
        if done.returncode:
            raise CountingFailed(f"vgdb refused `{' '.join(words)}`: {done.stderr.strip()}")


def total_of(profile: Path) -> int:
    """Return the number of instructions in a file that callgrind wrote.

    Raises:
        CountingFailed: there is no such file, or it has no total.
    """
    try:
        totals = _TOTAL.findall(profile.read_bytes())
    except OSError as problem:
        raise CountingFailed(f"callgrind did not write {profile} ({problem.strerror})") from problem
    if not totals:
        raise CountingFailed(f"{profile} has no line `totals:`; is it a file of callgrind?")
    return int(totals[-1])
