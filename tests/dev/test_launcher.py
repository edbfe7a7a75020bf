"""Problems that end `memsidecar dev` before it starts anything. What it does then is in `tests/e2e/test_dev.py`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sidecar.dev.launcher import FAILED, DevOptions, run_dev
from sidecar.dev.ports import LOOPBACK
from sidecar.dev.storage import data_directory


async def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port is an exit code and a text that names the option, not a traceback."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert await run_dev(DevOptions(port=port)) == FAILED
    shown = capsys.readouterr()
    assert shown.err.startswith(f"memsidecar dev: port {port} on 127.0.0.1, which the sidecar would use, is taken")
    assert "--port" in shown.err
    assert shown.out == ""


async def test_data_in_use(tmp_path: Path, redis_program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs on one data directory would destroy it; the second one is refused."""
    with data_directory(tmp_path):
        assert await run_dev(DevOptions(port=0, metrics_port=0, engine="local", data=tmp_path)) == FAILED
    assert f"the data directory {tmp_path} is in use" in capsys.readouterr().err
