"""The quick start, typed as it stands: every command of docs/quickstart.md against `memsidecar dev`, and what it shows.

A fence `bash` is typed, a fence `python` goes on in the session of the one before it, and a fence `text` behind either
is what is shown, where … stands for what differs from time to time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.dev.binaries import find_redis_server
from tests.docs import DOCS
from tests.e2e.test_dev import Dev
from tests.support.children import Children

PAGE = (DOCS / "quickstart.md").read_text()

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

PORT = "6380"


@pytest.fixture
def dev(children: Children, tmp_path: Path) -> Dev:
    """What `make dev` runs, on a port of its own."""
    return children.add(Dev(tmp_path))


class Reader:
    """Somebody who follows the page.

    Args:
        port: of the sidecar, in place of 6380.
        folder: where they are.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self._port = str(port)
        self._folder = folder
        self._imports = ""  # what a later fence of Python goes on with
        self.shown = ""

    def follow(self, kind: str, text: str) -> None:
        """Do what a fence says."""
        text = text.replace(PORT, self._port)
        if kind == "bash":
            # Into a pipe redis-cli writes otherwise than to a terminal.
            self.shown = self._type("bash", "-euc", re.sub(r"redis-cli (?!--raw)", "redis-cli --no-raw ", text))
        elif kind == "python":
            self.shown = self._type(sys.executable, "-c", self._imports + text)
            self._imports += "".join(re.findall(r"^(?:import|memory = ).*\n", text, re.MULTILINE))
        elif kind == "yaml":
            (self._folder / "definitions.yaml").write_text(text)
        elif kind == "text":
            expected = text.replace(self._port, PORT)
            pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
            shown = self.shown.strip().replace(self._port, PORT)
            assert re.fullmatch(pattern, shown, re.DOTALL), f"the page says\n{expected}\nand it is\n{shown}"

    def _type(self, *command: str) -> str:
        programs = [Path(sys.executable).parent, find_redis_server().parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, programs))
        done = subprocess.run(
            command, cwd=self._folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def test_the_page_is_true(dev: Dev, tmp_path: Path) -> None:
    """Every command works, in order, and shows what the page says."""
    reader = Reader(dev.port, tmp_path)
    followed = FENCE.findall(PAGE)
    assert {kind for kind, _ in followed} == {"", "bash", "python", "text", "yaml"}
    for kind, text in followed:
        reader.follow(kind, text)


def test_what_an_operator_types_works(tmp_path: Path) -> None:
    """Every command that docs/operations.md lets one type works without a server."""
    typed = [text for kind, text in FENCE.findall((DOCS / "operations.md").read_text()) if kind == "bash"]
    assert typed
    for text in typed:
        Reader(int(PORT), tmp_path).follow("bash", text)
