"""How a deputy is started: it finds our modules, and none that happen to lie about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.deputy.charge import COMMAND, environment


def test_it_finds_what_we_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own places count, in our order; the working directory only where we search it, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hiredis.py").write_text("raise SystemExit('a stranger')")
    assert COMMAND[0] == sys.executable
    with monkeypatch.context() as patched:
        patched.setattr(sys, "path", [path for path in sys.path if path])
        found = subprocess.run(
            [sys.executable, "-P", "-c", "import hiredis, sidecar; print(hiredis.__name__)"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stdout) == (0, "hiredis\n"), found.stderr
    monkeypatch.setattr(sys, "path", ["", "/one"])
    assert environment()["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/one"


def test_an_end_without_a_charge() -> None:
    """A process whose pipe ends before it is told anything ends in peace, and says nothing."""
    ended = subprocess.run(COMMAND, env=environment(), input=b"", capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
