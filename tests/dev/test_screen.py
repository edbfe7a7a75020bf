"""What reaches the terminal, and a terminal that is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.dev.screen import Screen


def test_lines_carry_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A child's line is shown whole, with its name in front, and nothing in it is taken for markup."""
    long = "x" * 300
    screen = Screen()
    screen.line("redis", f"[bold]not markup[/bold] {long}")
    screen.line("temporal", "ready")
    assert capsys.readouterr().out == f"redis    | [bold]not markup[/bold] {long}\ntemporal | ready\n"


def test_problems_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Problems are apart from the output that somebody may process."""
    Screen().problem("it broke\n    because")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "memsidecar dev: it broke\n    because\n"


def test_the_banner_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows, notes and lines to paste are all shown, none of them broken in two."""
    note, line = "note " * 40, "redis-cli " * 20
    Screen().banner([("Redis", "redis://127.0.0.1:1/0")], [note], [line])
    out = capsys.readouterr().out
    assert "  Redis     redis://127.0.0.1:1/0\n" in out
    assert f"  {note}\n" in out
    assert f"    {line}\n" in out


def test_a_terminal_that_is_gone() -> None:
    """When nobody reads any more, that is reported once, later lines are dropped, and the exit is clean."""
    text = (
        "import sys\n"
        "from sidecar.dev.screen import Screen\n"
        "screen = Screen()\n"
        "screen.on_lost = lambda: sys.stderr.write('lost\\n')\n"
        "screen.line('redis', 'ready')\n"
        "sys.stdin.readline()\n"
        "for number in range(3): screen.line('redis', 'y' * 100_000)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "redis    | ready\n"
    program.stdout.close()
    program.stdout = None
    _, errors = program.communicate("go on\n", timeout=30)
    assert errors == "lost\n"
    assert program.returncode == 0
