"""`memsidecar export` and `memsidecar import` as processes, between files, pipes and a real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sidecar.config.settings import PREFIX

CONVERSATION = """\
{"type":"memory","key":"chat:1","summary":{"text":"They met."}}
{"type":"message","id":"5-0","message":{"role":"user","content":"naïve 🙂"}}
{"type":"message","message":{"role":"assistant","content":"Hello!"},"pinned":true}
{"type":"end","messages":2}
"""

DEFINITIONS = "definitions: [{id: chat, max_tokens: 8000}]\n"


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> list[str]:
    """The options that every command here gets."""
    file = tmp_path / "definitions.yaml"
    file.write_text(DEFINITIONS)
    return ["--redis-url", redis_url, "--definitions", str(file)]


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the program itself."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        env=clean,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_there_and_back_by_files(settings: list[str], tmp_path: Path) -> None:
    """What was exported to a file comes back, and says so; a second time it was there."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(CONVERSATION)
    brought = run("import", str(source), *settings)
    assert brought.returncode == 0, brought.stderr.decode()
    assert brought.stdout == b""
    assert b"imported 1 memories with 2 messages, " in brought.stderr
    written = run("export", "chat:*", "-o", str(out), *settings)
    assert written.returncode == 0, written.stderr.decode()
    assert written.stderr.startswith(b"exported 1 memories with 2 messages, ")
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [record["type"] for record in records] == ["export", "memory", "message", "message", "end"]
    assert b"imported 0 memories" in run("import", str(source), *settings).stderr
    assert b"; 1 were there already" in run("import", str(source), *settings).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["definitions.yaml", "in.jsonl", "out.jsonl"]


async def test_through_a_pipe_into_another_project(settings: list[str], redis_client: Redis) -> None:
    """Standard output of one is standard input of the other."""
    assert run("import", *settings, stdin=CONVERSATION.encode()).returncode == 0
    out = run("export", *settings)
    moved = run("import", "--project", "other", "--definition", "chat", *settings, stdin=out.stdout)
    assert moved.returncode == 0, moved.stderr.decode()
    keys: list[bytes | str] = await redis_client.keys("mem:log:*")
    assert len(keys) == 2


async def test_a_dry_run_stores_nothing(settings: list[str], redis_client: Redis) -> None:
    """It says what it would do."""
    checked = run("import", "--dry-run", *settings, stdin=CONVERSATION.encode())
    assert checked.returncode == 0
    assert checked.stderr.startswith(b"would import 1 memories with 2 messages, ")
    assert await redis_client.dbsize() == 0


async def test_lists_of_compozy(settings: list[str], redis_client: Redis) -> None:
    """The lists of one project become memories of the definition that is named."""
    push = redis_client.rpush("compozy:shop:memory:user:1", '{"role":"user","content":"hi"}')
    assert await push == 1
    done = run("import", "--from", "compozy", "--from-project", "shop", "--definition", "chat", *settings)
    assert done.returncode == 0, done.stderr.decode()
    assert len(await redis_client.keys("mem:log:*chat:user%3A1")) == 1


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "text"),
    [
        (["import"], b'{"type":"memory","key":"chat:1"}\n{', 1, "Error: <stdin>:2: it is no record of an export"),
        (["import"], b'{"type":"memory","key":"chatt:1"}\n', 1, "<stdin>:1: NOMEMORY no memory definition for key"),
        (["import", "missing.jsonl"], b"", 1, "missing.jsonl cannot be read: No such file or directory"),
        (["export", "-o", "missing/x"], b"", 1, "missing/x cannot be written: No such file or directory"),
        (["import", "--from", "compozy"], b"", 2, "--from compozy needs --definition, and one of --from-project"),
        (["import", "--from-project", "shop"], b"", 2, "--from-project and --from-prefix go with --from compozy"),
        (["export", "--redis-url", "redis://127.0.0.1:1"], b"", 1, "Error: UNAVAILABLE Redis cannot be reached"),
        (["import", "--redis-url", "redis://127.0.0.1:1"], CONVERSATION.encode(), 1, "Error: UNAVAILABLE"),
        (["import", "--project", ""], b"", 2, "--project"),
    ],
)
def test_what_is_wrong_is_said(settings: list[str], arguments: list[str], stdin: bytes, code: int, text: str) -> None:
    """A mistake ends in a line that names it, and in no traceback."""
    done = run(arguments[0], *settings, *arguments[1:], stdin=stdin)
    assert done.returncode == code, done.stderr.decode()
    assert text in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_whoever_reads_goes_away(settings: list[str]) -> None:
    """An output that nobody reads any more ends the export with a line."""
    many = b'{"type":"memory","key":"chat:1"}\n'
    many += b'{"type":"message","message":{"role":"user","content":"%s"}}\n' % (b"x " * 500) * 2_000
    assert run("import", *settings, stdin=many + b'{"type":"end","messages":2000}\n').returncode == 0
    clean = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "export", *settings],
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        said = child.stderr.read().decode()
        assert child.wait(60) == 1
    assert "whoever reads the output has gone; the export is not complete" in said
    assert "Traceback" not in said


def test_a_terminal_is_no_export(settings: list[str]) -> None:
    """Whoever names no file is told so, instead of being waited for."""
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "sidecar", "import", *settings]
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert "name a FILE, or pipe an export into it" in done.stderr
