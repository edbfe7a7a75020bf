"""The deputy's process, spoken to over its pipes as a sidecar does."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.deputy.charge import COMMAND, Charge, environment
from sidecar.deputy.process import make_labour
from sidecar.errors import ConfigurationError, Unavailable
from sidecar.flush.errands import READY, Answer, Errand, framed, next_frame, to_answer
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder

CHARGE = Charge(redis_url="redis://127.0.0.1:1", key_prefix="mem", project="default")

PREVIEW = Errand(1, "preview", Definition(), order=FlushOrder("default", "i"))


async def answers(charge: Charge, *errands: Errand) -> list[Answer]:
    """Start a process, send it errands, and return its answers, the greeting first."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"".join(map(framed, [charge, *errands])))
    found = []
    async with asyncio.timeout(30):
        for _ in range(len(errands) + 1):
            frame = await next_frame(process.stdout)
            assert frame is not None
            found.append(to_answer(frame))
        process.stdin.close()
        assert await process.wait() == 0
    return found


async def test_an_errand(redis_url: str) -> None:
    """It says that it is ready, and then what came out."""
    charge = Charge(redis_url=redis_url, key_prefix="mem", project="default")
    ready, answer = await answers(charge, PREVIEW)
    assert (ready.number, ready.trouble) == (READY, None)
    assert b'"not-due"' in bytes(answer.value)


async def test_a_redis_that_is_away() -> None:
    """It is the answer's trouble, and the process goes on."""
    _, answer = await answers(CHARGE, PREVIEW)
    assert answer.trouble is not None
    assert isinstance(answer.trouble.error(), Unavailable)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    """The files are read anew by each process; one that has gone bad is told, and there is no process."""
    (tmp_path / "ca.pem").write_text("no certificate")
    charge = Charge(redis_url="rediss://h", key_prefix="mem", project="default", redis_tls_ca=str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigurationError, match="redis_tls_ca"):
        make_labour(charge)


def test_it_loads_no_more_than_it_needs() -> None:
    """It starts for a single flush: what only the sidecar needs would cost a second, and half of its memory."""
    program = "import sidecar.deputy.process, sys; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    loaded = {name for name in shown.split() if re.fullmatch(r"pydantic|aiohttp|temporalio|openai|uvloop|jinja2", name)}
    assert loaded == set()
