"""One program as a child process: start it, wait until it is ready, stop it, and keep its last lines.

The counterparts are `servers`, which knows the programs, and the two users: the launcher and the tests. This
is plain blocking code with one thread per child that reads its output. Async callers run `wait_ready` and
`stop` through `asyncio.to_thread`, so there is one implementation and no dependence on a loop.

Every child is a session of its own: Ctrl-C in the terminal reaches only us, and the order in which things
stop is ours. On Linux a child also dies when we are killed and can stop nothing any more. macOS has no such
mechanism; there, after a `kill -9` of ours, the children have to be ended by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sidecar.dev.problems import ChildFailed, ChildNotReady

KEPT_LINES = 500
"""Lines of output kept per child, for those who look for one; some 50 kB."""

MAX_LINE_BYTES = 16 * 1024
"""A longer line is handed on in pieces, so that a program that never ends its line cannot fill our memory."""

POLL_S = 0.01
"""Between two questions whether a child is ready. Redis needs about 20 ms, Temporal about 150 ms."""

KILL_LIMIT_S = 5.0
"""How long a killed process may take to disappear. More means a kernel that waits for a broken disk."""

READY_LIMIT_S = 15.0
"""Default for becoming ready: a hundred times what the slowest one needs on an idle machine."""

STOP_LIMIT_S = 5.0
"""Default for a polite stop; whoever has more to finish gets more."""

# The kernel's "signal me when my parent dies" can only be asked for by the child itself. Doing that between
# fork and exec (preexec_fn) runs Python in a copy of a process with threads, which can deadlock; a short
# interpreter that asks and then becomes the program costs 12 ms and cannot. 1 is PR_SET_PDEATHSIG; it
# survives the exec. The comparison covers a parent that died before the request.
_BECOME = (
    "import ctypes, os, sys\n"
    f"ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})\n"
    "if os.getppid() != int(sys.argv[1]): os._exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def ignore(_: object) -> None:
    """Do nothing: the hook of a caller that is not interested."""


class ChildProcess(ABC):
    """A program that can be started, stopped and started again; its output can be read at any time.

    Subclasses give `command`, and say in `is_ready` when the program can be used. `on_line` gets each line of
    output and `on_end` this object after the process has ended, whatever the reason; both are called on the
    reading thread.
    """

    ready_limit_s = READY_LIMIT_S
    stop_limit_s = STOP_LIMIT_S
    ready_sign = "it does not answer"

    def __init__(
        self,
        name: str,
        *,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = ignore,
        on_end: Callable[[ChildProcess], None] = ignore,
    ) -> None:
        """`env` is added to the environment of this process."""
        self.name = name
        self.environment = dict(env or {})
        self._on_line = on_line
        self._on_end = on_end
        self._tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the program, as an absolute path, and its arguments. Asked anew for each start."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the running program can be used now; quick, and False while it cannot."""

    @property
    def pid(self) -> int:
        """Process id of the latest start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and not self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """Exit code of the latest start, negative for a signal; None while it runs, or was never started."""
        return self._process.returncode if self._process is not None and self._ended.is_set() else None

    def tail(self) -> list[str]:
        """Return the last lines of output, standard output and error together, oldest first."""
        return list(self._tail)

    def has_printed(self, text: str) -> bool:
        """Return whether one of the last lines contains `text`."""
        return any(text in line for line in self.tail())

    def start(self) -> None:
        """Start the program and wait until it is ready; if it does not get there, nothing is left running.

        Raises `ChildFailed` or `ChildNotReady`.
        """
        self.spawn()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def spawn(self) -> None:
        """Start the program without waiting. Only on the main thread: the child dies with its thread.

        That is how Linux counts: "parent" is the thread that forked. A pool's worker thread would take the
        child with it when the pool shrinks.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.name} must be started on the main thread")
        if self.running:
            raise RuntimeError(f"{self.name} runs already, as process {self.pid}")
        argv = [str(part) for part in self.command()]
        if sys.platform == "linux":
            argv = [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *argv]
        self._tail.clear()
        self._ended.clear()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
            start_new_session=True,
        )
        threading.Thread(target=self._watch, args=(self._process,), name=f"{self.name}-output", daemon=True).start()

    def wait_ready(self) -> None:
        """Wait until the program can be used.

        Raises `ChildFailed` if it ends instead, `ChildNotReady` if it takes longer than `ready_limit_s`.
        """
        if not self.becomes(self.is_ready, limit_s=self.ready_limit_s):
            raise ChildNotReady(self.name, limit_s=self.ready_limit_s, sign=self.ready_sign, tail=self.tail())

    def becomes(self, condition: Callable[[], bool], *, limit_s: float) -> bool:
        """Return True as soon as `condition` holds, False after `limit_s`.

        Raises `ChildFailed` if the program ends meanwhile.
        """
        deadline = time.monotonic() + limit_s
        while True:
            holds = condition()
            # After the condition: an answer that somebody else gave on our port is worth nothing.
            if self._ended.is_set():
                raise self.failure()
            if holds or time.monotonic() >= deadline:
                return holds
            self._ended.wait(POLL_S)

    def failure(self) -> ChildFailed:
        """Return the error that tells how the ended program ended."""
        code = self.exit_code
        if code is None:
            raise RuntimeError(f"{self.name} has not ended")
        return ChildFailed(self.name, exit_code=code, tail=self.tail())

    def wait(self, limit_s: float) -> int | None:
        """Wait for the end; return the exit code, or None if it still runs after `limit_s`."""
        self._ended.wait(limit_s)
        return self.exit_code

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM) without waiting for it. Nothing happens if it does not run."""
        if self._process is not None and self.running:
            self._process.terminate()

    def kill(self) -> None:
        """End the program and whatever it has forked at once (SIGKILL), and wait until it is gone."""
        if self._process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._ended.wait(KILL_LIMIT_S)

    def stop(self, limit_s: float | None = None) -> bool:
        """Ask the program to end and kill it after `limit_s` (None: its own limit).

        Returns whether it ended by itself, or did not run at all.
        """
        if not self.running:
            return True
        self.terminate()
        if self._ended.wait(self.stop_limit_s if limit_s is None else limit_s):
            return True
        self.kill()
        return False

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            while line := output.readline(MAX_LINE_BYTES):
                text = line.decode("utf-8", "replace").rstrip()
                self._tail.append(text)
                self._on_line(text)
        process.wait()
        self._ended.set()
        self._on_end(self)
