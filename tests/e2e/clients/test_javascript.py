"""JavaScript clients and the job queue BullMQ work through the sidecar.

Left out unless asked for, because they need Node.js 20 or later with npm, and fetch packages:
`make test ARGS="-m javascript"`. The packages are those of `javascript/package-lock.json`, and nothing of them
is left in the repository. To renew the lock: `npm update --package-lock-only` there; the override in
`package.json` holds one optional package at a release that is complete for every platform.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from sidecar.dev.servers import SidecarProcess
from tests.e2e.clients.workers import QueueWorker, waiting
from tests.support.children import Children
from tests.support.requirements import require_program
from tests.support.waiting import eventually

pytestmark = pytest.mark.javascript

SOURCES = Path(__file__).with_name("javascript")

JOBS = 500

INSTALL_LIMIT_S = 100
"""For fetching two dozen small packages; a second where npm has them in its cache."""

SCRIPT_LIMIT_S = 60
"""For one script, which takes a few seconds."""


@pytest.fixture(scope="session")
def node() -> Path:
    """Node.js."""
    return require_program("node")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the npm project with exactly the packages of its lock."""
    directory = tmp_path_factory.mktemp("clients") / "javascript"
    shutil.copytree(SOURCES, directory, ignore=shutil.ignore_patterns("node_modules"))
    command = [str(require_program("npm")), "ci", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_LIMIT_S)
    assert done.returncode == 0, f"npm ci failed; it needs a package registry, or its cache:\n{done.stderr}"
    return directory


def _run(node: Path, script: Path, *arguments: object) -> None:
    """Run a script; what it finds wrong is the failure."""
    command = [str(node), str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SCRIPT_LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("client", ["ioredis", "node-redis"])
def test_a_client_works_as_on_redis(node: Path, project: Path, front: SidecarProcess, client: str) -> None:
    """Values, pipelines, transactions, scripts, blocking commands and subscriptions, in both protocols."""
    _run(node, project / f"{client}.mjs", front.port)


@pytest.mark.parametrize("client", ["ioredis", "node-redis"])
def test_the_conversation_of_all_clients(node: Path, project: Path, front: SidecarProcess, client: str) -> None:
    """Every MEM command of `conversation.json` gets its reply, in both protocols, as in `test_conversation`."""
    _run(node, project / "conversation.mjs", client, front.port, SOURCES.with_name("conversation.json"))


async def test_every_job_of_bullmq_runs_exactly_once(
    node: Path, project: Path, front: SidecarProcess, behind: redis.Redis, children: Children
) -> None:
    """A waiting BullMQ worker runs every job once, those with a delay too, and retries the one that fails."""
    command: list[str | Path] = [node, project / "bullmq-worker.mjs", str(front.port)]
    worker = children.add(QueueWorker("bullmq", command, behind=behind))
    _run(node, project / "bullmq-caller.mjs", front.port, JOBS)
    assert behind.hgetall("executed") == {str(number): "1" for number in range(JOBS + 1)}
    assert sum(behind.xlen(key) for key in behind.scan_iter("mem:log:*")) == JOBS + 1
    await eventually(lambda: waiting(behind) == 1, why="the worker does not wait for further jobs")
    worker.stop()
    assert worker.exit_code == 0
