"""What libraries, the event loop and the interpreter tell: lines of our log, without anything that was filled in."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.logs.test_formats import written

SECRET = "swordfish"


def lines(body: str, level: str = "warning") -> list[dict[str, Any]]:
    """Return what a program with this body writes, which holds no secret and nothing that is not JSON."""
    program = f"import asyncio, logging, sys, threading, warnings\nfrom sidecar.logs import *\n{SECRET=}\n"
    text = written(level, program=f"{program}set_up_logs(sys.argv[1])\nlog = logging.getLogger('some.library')\n{body}")
    assert SECRET not in "\n".join(text)
    return [json.loads(line) for line in text]


def test_a_text_is_shown_as_it_stands_in_the_source() -> None:
    """With its place holders; what they stand for is not."""
    (line,) = lines("def work():\n    log.warning('%s failed after %d tries', SECRET, 3)\nwork()")
    assert line["event"] == "library.logged"
    assert line["logger"] == "some.library"
    assert line["level"] == "warning"
    assert line["text"] == "%s failed after %d tries"
    assert line["at"].startswith("<string>.work:")
    assert "timestamp" in line


def test_a_text_that_was_put_together_is_not_shown() -> None:
    """Then the line says where it was logged, and no more."""
    for text in ("f'{what} failed'", "'%s failed' % what", "ValueError(what)", "what"):
        (line,) = lines(f"def work(what):\n    log.error({text})\nwork(SECRET)")
        assert "text" not in line
        assert line["at"].startswith("<string>.work:")


def test_what_a_library_adds_is_not_shown() -> None:
    """Neither what it puts into `extra`, nor its stack; of an exception what every line shows."""
    body = "try:\n    raise ValueError(SECRET)\nexcept ValueError:\n"
    (line,) = lines(f"{body}    log.error('oh', extra={{'note': SECRET}}, exc_info=True, stack_info=True)")
    assert line["exception"].endswith("ValueError")
    assert set(line) == {"event", "logger", "level", "text", "at", "exception", "timestamp"}


def test_what_temporal_adds() -> None:
    """Of Temporal's details those are shown that name no memory."""
    details = {"activity_type": "plan", "attempt": 2, "workflow_run_id": "r", "workflow_id": SECRET, "task_queue": "q"}
    (line,) = lines(f"log.warning('Completing', extra={{'temporal_activity': {details!r}}})")
    assert (line["activity_type"], line["attempt"], line["workflow_run_id"]) == ("plan", 2, "r")
    assert "task_queue" not in line


def test_odd_severities() -> None:
    """A severity of a library's own is taken for the next lower one that we have."""
    found = lines("for number in (5, 15, 25, 35, 45, 50):\n    log.setLevel(1)\n    log.log(number, 'x')", "debug")
    assert [line["level"] for line in found] == ["debug", "debug", "info", "warning", "error", "error"]


def test_the_event_loop() -> None:
    """An exception that nobody took is told without its text, its task's name and its callback's arguments."""
    body = """
async def fail(text):
    raise ValueError(text)

def callback(text):
    raise KeyError(text)

async def main():
    watch_event_loop()
    asyncio.get_running_loop().call_soon(callback, SECRET)
    task = asyncio.create_task(fail(SECRET), name=SECRET)
    await asyncio.wait([task])
    del task

asyncio.run(main())
"""
    first, second = lines(body)
    assert first["event"] == second["event"] == "loop.failed"
    assert first["exception"].endswith("KeyError")
    assert second["text"] == "Task exception was never retrieved"
    assert second["exception"].endswith("ValueError")


def test_threads_warnings_and_finalizers() -> None:
    """What the interpreter would print is a line, too."""
    body = """
def fail():
    raise ValueError(SECRET)

class Odd:
    def __del__(self):
        fail()

thread = threading.Thread(target=fail, name=SECRET)
thread.start()
thread.join()
Odd()
warnings.simplefilter("always")
warnings.warn(SECRET, RuntimeWarning)
"""
    thread, finalizer, warning = lines(body)
    assert (thread["event"], finalizer["event"], warning["event"]) == (
        "thread.failed",
        "exception.ignored",
        "python.warned",
    )
    assert thread["exception"].endswith("ValueError")
    assert finalizer["exception"].endswith("ValueError")
    assert warning["category"] == "RuntimeWarning"
    assert warning["at"].startswith("<string>:")


def test_the_end_of_a_process() -> None:
    """An exception that ends the process is a line, too, and the exit code is the usual one."""
    program = f"from sidecar.logs import *\nset_up_logs('error')\nraise ValueError('{SECRET}')"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 1
    assert SECRET not in finished.stderr
    line = json.loads(finished.stderr)
    assert line["event"] == "process.failed"
    assert line["exception"].endswith("ValueError")
