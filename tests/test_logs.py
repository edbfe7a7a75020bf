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

import pytest

PROGRAM = """
import sys, structlog
from sidecar.logs import set_up_logs
set_up_logs(sys.argv[1])
log = structlog.get_logger()
structlog.contextvars.bind_contextvars(memory="chat:1")
secret = "swordfish"
for level in ("debug", "info", "warning", "error"):
    getattr(log, level)("it happened", number=1)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("a bug")
"""


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error", "error"]),
        ("info", ["info", "warning", "error", "error"]),
        ("warning", ["warning", "error", "error"]),
        ("error", ["error", "error"]),
    ],
)
def test_json(level: str, shown: list[str]) -> None:
    """Where no person reads along, each line is JSON with time, level and context, from the given level on."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, level], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    assert [line["level"] for line in lines] == shown
    assert finished.stdout == ""
    *plain, bug = lines
    for line in plain:
        offset = datetime.fromisoformat(line.pop("timestamp")).utcoffset()
        assert offset is not None
        assert not offset
        assert line == {"event": "it happened", "number": 1, "memory": "chat:1", "level": line["level"]}
    assert "ZeroDivisionError: division by zero" in bug["exception"]


def test_on_a_terminal() -> None:
    """On a terminal the lines are for people, and a traceback does not show what variables hold."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "warning"], stderr=theirs) as process:
        os.close(theirs)
        text = b""
        with suppress(OSError):  # how Linux says that the other side is closed
            while read := os.read(ours, 65_536):
                text += read
        os.close(ours)
        assert process.wait(60) == 0
    assert b"it happened" in text
    assert not text.lstrip().startswith(b"{")
    assert b"ZeroDivisionError" in text
    assert b"swordfish" not in text


def test_what_every_line_tells() -> None:
    """What is given at the set-up is in every line, and a line goes out in one piece even where nothing is buffered."""
    program = PROGRAM.replace("set_up_logs(sys.argv[1])", "set_up_logs(sys.argv[1], worker=2)")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # what is written at once comes at once
    pieces = []
    with ours, theirs:
        subprocess.run([sys.executable, "-u", "-c", program, "warning"], stderr=theirs.fileno(), timeout=60, check=True)
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                pieces.append(ours.recv(65_536))
    assert [json.loads(piece)["worker"] for piece in pieces] == [2, 2, 2]
