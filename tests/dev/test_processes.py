"""Child processes: readiness, failure texts, stopping, and that nothing outlives anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.dev.problems import ChildFailed, ChildNotReady
from sidecar.dev.processes import MAX_LINE_BYTES, ChildProcess
from tests.support.children import Children, alive
from tests.support.waiting import eventually


class Script(ChildProcess):
    """A Python program that is ready once it has printed `up`."""

    ready_sign = "it did not print 'up'"

    def __init__(self, text: str, *, ready_limit_s: float = 10.0) -> None:
        self.ends: list[ChildProcess] = []
        self.lines: list[str] = []
        super().__init__("script", env={"GREETING": "hej"}, on_line=self.lines.append, on_end=self.ends.append)
        self.text = text
        self.ready_limit_s = ready_limit_s

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-u", "-c", self.text]

    def is_ready(self) -> bool:
        return self.has_printed("up")


WAITS = "import signal; print('up'); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"


def test_output_and_environment(children: Children) -> None:
    """Standard output and error are kept in order and handed on line by line; the environment is extended."""
    script = children.add(
        Script("import os, sys; print(os.environ['GREETING']); os.write(2, b'up\\n'); sys.exit(0)"), wait=False
    )
    assert script.wait(10) == 0
    assert script.tail() == script.lines == ["hej", "up"]
    assert script.has_printed("he")
    assert not script.has_printed("hello")


def test_a_child_has_a_session_of_its_own(children: Children) -> None:
    """Ctrl-C in our terminal cannot reach a child: it leads a session."""
    script = children.add(Script(WAITS))
    assert os.getsid(script.pid) == script.pid


def test_a_child_that_ends_while_starting(children: Children) -> None:
    """A program that ends before it is ready is an error with its exit code and its last words."""
    script = Script("import sys; print('no such luck'); sys.exit(3)")
    with pytest.raises(ChildFailed, match=r"script ended with exit code 3. Its last lines:\n    no such luck"):
        children.add(script)
    assert not script.running
    assert script.exit_code == 3


def test_a_child_that_does_not_become_ready(children: Children) -> None:
    """A program that is not ready in time is an error that says what was missing, and it does not keep running."""
    script = Script("import signal; print('hm'); signal.pause()", ready_limit_s=0.5)
    with pytest.raises(ChildNotReady, match=r"script was not ready after 0.5 s: it did not print 'up'.*\n    hm"):
        children.add(script)
    assert not alive(script.pid)


def test_an_answer_counts_only_while_the_child_lives(children: Children) -> None:
    """When the program has ended, an answer that comes from somebody else does not make it ready."""
    script = children.add(Script("print('up')"), wait=False)
    assert script.wait(10) == 0
    with pytest.raises(ChildFailed, match="ended with exit code 0"):
        script.wait_ready()


def test_stop_is_polite_first(children: Children) -> None:
    """Stop sends SIGTERM, with which a program can finish what it does."""
    text = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up'); signal.pause()"
    script = children.add(Script(text))
    assert script.stop() is True
    assert script.exit_code == 7
    assert script.ends == [script]


def test_stop_kills_after_its_limit(children: Children) -> None:
    """A program that ignores SIGTERM is killed after the limit, and stop says so."""
    script = children.add(Script(STUBBORN))
    assert script.stop(0.3) is False
    assert script.exit_code == -signal.SIGKILL
    assert not alive(script.pid)


async def test_kill_takes_the_forked_ones_along(children: Children) -> None:
    """What a program has forked is killed with it."""
    text = "import os, signal; pid = os.fork(); pid and print(pid, flush=True); pid and print('up'); signal.pause()"
    script = children.add(Script(text))
    forked = int(script.tail()[0])
    assert alive(forked)
    script.kill()
    assert not script.running
    await eventually(lambda: not alive(forked), why="the forked process lives on")


def test_stopping_what_does_not_run(children: Children) -> None:
    """Stop, kill and terminate of a program that never ran, or has ended, do nothing."""
    script = Script(WAITS)
    script.terminate()
    script.kill()
    assert script.stop() is True
    assert script.exit_code is None
    children.add(script).kill()
    assert script.stop() is True
    assert script.exit_code == -signal.SIGKILL


def test_start_again(children: Children) -> None:
    """A stopped program can be started again and then shows only its new output."""
    script = children.add(Script(WAITS))
    first = script.pid
    with pytest.raises(RuntimeError, match="script runs already"):
        script.spawn()
    script.stop()
    script.start()
    assert script.pid != first
    assert script.running
    assert script.tail() == ["up"]


def test_children_start_on_the_main_thread_only() -> None:
    """Elsewhere a child would end with the thread, so starting it there is refused."""
    refusals: list[str] = []

    def start() -> None:
        try:
            Script(WAITS).spawn()
        except RuntimeError as refusal:
            refusals.append(str(refusal))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refusals == ["script must be started on the main thread"]


def test_an_endless_line_comes_in_pieces(children: Children) -> None:
    """A program that never ends its line is read in bounded pieces, and nothing is lost."""
    script = children.add(Script(f"print('x' * {3 * MAX_LINE_BYTES}, end='')"), wait=False)
    assert script.wait(10) == 0
    assert [len(piece) for piece in script.lines] == [MAX_LINE_BYTES] * 3


def test_bytes_that_are_no_text(children: Children) -> None:
    """Output that is no UTF-8 is shown with replacements and does not stop the reading."""
    script = children.add(Script("import os; os.write(1, b'a\\xffb\\nup\\n')"), wait=False)
    assert script.wait(10) == 0
    assert script.tail() == ["a\ufffdb", "up"]


def parent_of_a_child() -> tuple[subprocess.Popen[bytes], int]:
    """Another Python that has started a child; returns it and the child's process id."""
    text = (
        "import signal\n"
        "from tests.dev.test_processes import STUBBORN, Script\n"
        "script = Script(STUBBORN); script.start(); print(script.pid, flush=True); signal.pause()\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child whose parent was killed")
async def test_a_child_dies_with_its_parent() -> None:
    """When the parent is killed with SIGKILL, and can do nothing any more, its children die too."""
    parent, child = parent_of_a_child()
    with parent:
        assert alive(child)
        parent.kill()
    await eventually(lambda: not alive(child), limit_s=5, why="the child outlived its parent")
