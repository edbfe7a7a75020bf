"""Exports and imports beside a sidecar that runs, and imports that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import redis

from sidecar.config.settings import PREFIX
from sidecar.store.incoming import PAGE_MESSAGES
from tests.e2e.agents import as_map
from tests.support.children import StartSidecar
from tests.support.waiting import eventually

MESSAGES = 3 * PAGE_MESSAGES + 11

WHOLE = "".join(
    json.dumps(line) + "\n"
    for line in (
        {"type": "memory", "key": "default:moved", "summary": {"text": "They met."}},
        *({"type": "message", "message": {"role": "user", "content": f"word {n}"}} for n in range(MESSAGES)),
        {"type": "end", "messages": MESSAGES},
    )
).encode()


def program(redis_url: str, *arguments: str) -> subprocess.Popen[bytes]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.Popen(
        [sys.executable, "-m", "sidecar", *arguments, "--redis-url", redis_url],
        env=clean,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def test_a_killed_import_is_finished_by_the_next(redis_url: str) -> None:
    """Killed in the middle, an import has shown nothing; the next one goes on, and each message is there once."""
    half = WHOLE[: len(WHOLE) // 2]
    with redis.Redis.from_url(redis_url) as client, program(redis_url, "import") as first:
        assert first.stdin is not None
        first.stdin.write(half)
        first.stdin.flush()

        def gathered() -> bool:
            keys: Any = client.keys("mem:fork:*:log")
            return bool(keys) and client.xlen(keys[0]) >= PAGE_MESSAGES

        await eventually(gathered, limit_s=60)
        first.kill()
        first.wait(30)
        assert client.keys("mem:log:*") == []
        with program(redis_url, "import") as second:
            _, said = second.communicate(WHOLE, timeout=60)
        assert said.startswith(f"imported 1 memories with {MESSAGES:,} messages".encode())
        (log,) = client.keys("mem:log:*")
        entries: Any = client.xrange(log)
        assert [fields[b"c"] for _, fields in entries] == [b"word %d" % n for n in range(MESSAGES)]
        assert client.keys("mem:fork:*") == []


def test_a_sidecar_serves_what_has_come(redis_url: str, sidecar_process: StartSidecar) -> None:
    """A sidecar that has seen the memory empty reads what was imported meanwhile, counts it, and appends behind it."""
    sidecar = sidecar_process(redis_url=redis_url)
    with redis.Redis(port=sidecar.port, protocol=3, decode_responses=True) as client:
        assert as_map(client.execute_command("MEMREAD", "moved"))["messages"] == []
        with program(redis_url, "import") as moving:
            _, said = moving.communicate(WHOLE, timeout=60)
        assert moving.returncode == 0, said.decode()
        read = as_map(client.execute_command("MEMREAD", "moved", "COUNT", "2"))
        assert (read["summary"], [as_map(each)["content"] for each in read["messages"]]) == (
            "They met.",
            [f"word {MESSAGES - 2}", f"word {MESSAGES - 1}"],
        )
        appended = as_map(client.execute_command("MEMAPPEND", "moved", "user", "one more"))
        assert appended["messages"] == MESSAGES + 1
        info = as_map(client.execute_command("MEMINFO", "moved"))
        everything = as_map(client.execute_command("MEMREAD", "moved"))["messages"]
        assert info["tokens"] == sum(as_map(each)["tokens"] for each in everything)
        flushed = as_map(client.execute_command("MEMFLUSH", "moved", "FORCE", "WAIT", "30000"))
        assert flushed["status"] == "done"
        undone = as_map(client.execute_command("MEMFLUSH", "moved", "UNDO"))
        assert undone["messages"] == MESSAGES + 1
        with program(redis_url, "export", "default:moved") as leaving:
            out, _ = leaving.communicate(timeout=60)
        assert json.loads(out.splitlines()[-1]) == {"type": "end", "messages": MESSAGES + 1}
