"""The audit of the locked packages: pip-audit itself, with a database of this test's on loopback."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.dev.ports import LOOPBACK, free_port
from tests.audit import LOCK, ROOT, unpinned

HASH = f"--hash=sha256:{'0' * 64}"
LOCKS = [LOCK, *(LOCK.with_name(name) for name in ("runtime.txt", "build.txt")), *LOCK.parent.glob("peers/*.txt")]

ADVISORY: dict[str, Any] = {
    "id": "PYSEC-2026-1",
    "summary": "It does what it should not.",
    "details": "",
    "affected": [
        {
            "package": {"name": "click", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0.0"}]}],
        }
    ],
}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_lock_pins_by_hash(lock: Path) -> None:
    """No package of a lock may be any but the file that was looked at when it was locked."""
    assert unpinned(lock.read_text()) == []


@pytest.mark.parametrize("lock", LOCKS[1:3], ids=lambda lock: lock.name)
def test_the_audited_lock_has_all_of_the_image(lock: Path) -> None:
    """What the image installs, and what builds it, is in the lock that is audited, in the same versions."""
    assert _pins(lock) - _pins(LOCK) == set()


def _pins(lock: Path) -> set[str]:
    return set(re.findall(r"^[\w.\-]+==[^\s;]+", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "requirement",
    [f"click>=8 \\\n    {HASH}", "click==8.5.1", "click==8.5.1 \\\n    --hash=md5:0", f"click \\\n    {HASH}"],
)
def test_what_is_no_pin(requirement: str) -> None:
    """A range, and a version without a SHA-256, are found."""
    good = f"# a comment\nhiredis==3.5.0 \\\n    {HASH}\n    # via redis\n"
    assert unpinned(good) == []
    (found,) = unpinned(good + requirement)
    assert found.startswith("click")


@pytest.fixture
async def database() -> AsyncIterator[tuple[str, list[str]]]:
    """Something that answers like OSV: there is an advisory of click. Its address, and what it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        name = (await request.json())["package"]["name"]
        asked.append(name)
        return web.json_response({"vulns": [ADVISORY]} if name == "click" else {})

    app = web.Application()
    app.router.add_post("/v1/query", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/v1/query", asked
    await runner.cleanup()


async def audit(lock: str, tmp_path: Path, database: str) -> tuple[int, str]:
    """Run the audit; return its exit code and what it said."""
    (tmp_path / "lock.txt").write_text(lock)
    command = [sys.executable, "-m", "tests.audit", "--lock", str(tmp_path / "lock.txt"), "--database", database]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_a_known_vulnerability_is_found(database: tuple[str, list[str]], tmp_path: Path) -> None:
    """The package is named, with the advisory and the version that mends it."""
    url, asked = database
    lock = f"click==8.5.1 \\\n    {HASH}\nhiredis==3.5.0 \\\n    {HASH}\n"
    code, said = await audit(lock, tmp_path, url)
    assert (code, sorted(asked)) == (1, ["click", "hiredis"])
    assert "click 8.5.1: PYSEC-2026-1, mended in 9.0.0" in said
    assert "hiredis" not in said


async def test_nothing_is_found(database: tuple[str, list[str]], tmp_path: Path) -> None:
    """Without an advisory the code is 0, and the number of packages is told."""
    code, said = await audit(f"hiredis==3.5.0 \\\n    {HASH}\n", tmp_path, database[0])
    assert (code, said) == (0, "audit: 1 packages, no known vulnerability.\n")


async def test_a_database_that_answers_nonsense(tmp_path: Path, database: tuple[str, list[str]]) -> None:
    """What is no answer is no good news: the code is 2, and pip-audit's own words are shown."""
    url = database[0].replace("/v1/query", "/elsewhere")
    code, said = await audit(f"hiredis==3.5.0 \\\n    {HASH}\n", tmp_path, url)
    assert code == 2
    assert "pip-audit failed" in said


async def test_without_a_database(tmp_path: Path) -> None:
    """Where nobody answers, hashes are checked, and that is said; a package without one fails."""
    nowhere = f"http://{LOOPBACK}:{free_port()}/v1/query"
    code, said = await audit(f"click==8.5.1 \\\n    {HASH}\n", tmp_path, nowhere)
    assert code == 0
    assert "cannot be reached; every package is pinned by hash" in said
    assert (await audit("click==8.5.1\n", tmp_path, nowhere))[0] == 1
