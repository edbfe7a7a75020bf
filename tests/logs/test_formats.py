"""What processes write to standard error; each in a process of its own, because the set-up is for a whole process."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

PROGRAM = """
import sys, structlog
from sidecar.logs import set_up_logs
set_up_logs(sys.argv[1], sys.argv[2])
log = structlog.get_logger()
structlog.contextvars.bind_contextvars(memory="chat:1")
secret = "swordfish"
for level in ("debug", "info", "warning", "error"):
    getattr(log, level)("it.happened", number=1)
try:
    raise ValueError(secret)
except ValueError:
    log.exception("a.bug")
"""


def written(level: str, log_format: str = "auto", program: str = PROGRAM) -> list[str]:
    """Return the lines that a program writes to a standard error that is no terminal."""
    finished = subprocess.run(
        [sys.executable, "-c", program, level, log_format], capture_output=True, text=True, timeout=60, check=True
    )
    assert finished.stdout == ""
    return finished.stderr.splitlines()


def on_a_terminal(level: str, log_format: str) -> str:
    """Return what it writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, level, log_format]
    with subprocess.Popen(command, stderr=theirs, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(theirs)
        text = b""
        with suppress(OSError):  # how Linux says that the other side is closed
            while read := os.read(ours, 65_536):
                text += read
        os.close(ours)
        assert process.wait(60) == 0
    return text.decode()


@pytest.mark.parametrize("log_format", ["auto", "json"])
@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error", "error"]),
        ("info", ["info", "warning", "error", "error"]),
        ("warning", ["warning", "error", "error"]),
        ("error", ["error", "error"]),
    ],
)
def test_json(level: str, shown: list[str], log_format: str) -> None:
    """Where no person reads along, each line is JSON with time, level and context, from the given level on."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in written(level, log_format)]
    assert [line["level"] for line in lines] == shown
    *plain, bug = lines
    for line in plain:
        offset = datetime.fromisoformat(line.pop("timestamp")).utcoffset()
        assert offset is not None
        assert not offset
        assert line == {"event": "it.happened", "number": 1, "memory": "chat:1", "level": line["level"]}
    assert bug["exception"].endswith("\nValueError")


def test_console_where_no_terminal_is() -> None:
    """Who asks for lines for people gets them anywhere, without the colours that only a terminal shows."""
    text = "\n".join(written("warning", "console"))
    assert "it.happened" in text
    assert "number=1" in text
    assert "\x1b" not in text
    assert "Traceback (most recent call last):" in text
    assert "swordfish" not in text


def test_console_on_a_terminal() -> None:
    """On a terminal the lines are for people, and a traceback does not show what variables hold."""
    text = on_a_terminal("warning", "auto")
    assert "it.happened" in text
    assert "\x1b[" in text
    assert not text.lstrip().startswith("{")
    assert "ValueError" in text
    assert "swordfish" not in text


def test_json_on_a_terminal() -> None:
    """Who asks for JSON gets it on a terminal too."""
    lines = [json.loads(line) for line in on_a_terminal("warning", "json").splitlines()]
    assert [line["event"] for line in lines] == ["it.happened", "it.happened", "a.bug"]


def test_what_every_line_tells() -> None:
    """What is given at the set-up is in every line, and a line goes out in one piece even where nothing is buffered."""
    program = PROGRAM.replace("set_up_logs(sys.argv[1], sys.argv[2])", "set_up_logs(sys.argv[1], worker=2)")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # what is written at once comes at once
    pieces = []
    with ours, theirs:
        subprocess.run([sys.executable, "-u", "-c", program, "warning"], stderr=theirs.fileno(), timeout=60, check=True)
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                pieces.append(ours.recv(65_536))
    assert [json.loads(piece)["worker"] for piece in pieces] == [2, 2, 2]
