"""Nothing secret or personal is in the log, at any level: whole programs are led through trouble with a marked word in
everything that a client, an operator or a package gives, and then all that they wrote is looked at."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from sidecar.dev.ports import free_port
from sidecar.dev.servers import SidecarProcess, WorkerProcess
from tests.e2e.agents import as_map, run
from tests.support.children import Children, StartRedis, StartTemporal
from tests.support.waiting import eventually

MARK = "swordfish"

PASSWORD, CLIENT_PASSWORD = f"own-{MARK}", f"ann-{MARK}-password"
USER = f"ann-{MARK}"

LIMIT_S = 60.0

PACKAGE = '''
from sidecar.errors import SummariserRefused


class Breaking:
    """Fails as a client of a model does that quotes its request."""

    async def summarise(self, earlier, messages, budget, count):
        raise ValueError(f"could not do {messages[0].content}") from RuntimeError(messages[-1].content)


class Refusing:
    """Has a text in its error, although it must not."""

    async def summarise(self, earlier, messages, budget, count):
        raise SummariserRefused(f"it does not like {messages[0].content}")


def breaking(options):
    return Breaking()


def refusing(options):
    return Refusing()
'''

DEFINITIONS: dict[str, Any] = {
    "strict": True,
    "summarisers": {"breaks": {"kind": "breaking"}, "refuses": {"kind": "refusing"}},
    "defaults": {"flush": {"strategy": "hybrid_summary", "target": 0.5, "summary_tokens": 50}, "max_tokens": 400},
    "definitions": [
        {"id": "chat", "flush": {"summariser": "refuses"}},
        {"id": "notes", "flush": {"summariser": "breaks"}},
        {"id": "task", "key_template": "{{ user.name }}"},
    ],
}

REFUSED = f"""\
strict: {MARK}
definitions:
  - {{id: chat, max_tokens: {MARK}, mode: {MARK}, flush: {{strategy: {MARK}, summariser: {MARK}}}}}
  - {{id: notes, model: {MARK}, key_template: "{{{{ {MARK}"}}
"""

NO_YAML = f"definitions: [{MARK}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of an installed package with summarisers of its own."""
    folder = tmp_path / "packages"
    info = folder / "my_summariser-1.dist-info"
    info.mkdir(parents=True)
    (folder / "my_summariser.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-summariser\nVersion: 1\n")
    names = "".join(f"{name} = my_summariser:{name}\n" for name in ("breaking", "refusing"))
    (info / "entry_points.txt").write_text(f"[memsidecar.summarisers]\n{names}")
    return folder


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    path = tmp_path / "definitions.yaml"
    path.write_text(json.dumps(DEFINITIONS))
    return path


class Written:
    """All lines that a process has written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def events(self) -> set[str]:
        return {json.loads(line)["event"] for line in self.lines if line.startswith("{")}

    async def until(self, *events: str) -> None:
        """Wait for events."""
        await eventually(lambda: set(events) <= self.events(), limit_s=LIMIT_S, why=f"there is no line of {events}")

    def check(self) -> None:
        """Every line is JSON with time, level and event, and in none is the word."""
        assert self.lines
        for line in self.lines:
            assert MARK not in line
            entry = json.loads(line)
            assert {"timestamp", "level", "event"} <= entry.keys(), line


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def settings(package: Path, definitions: Path) -> dict[str, str]:
    """What sidecar and worker have in common."""
    return {
        "PYTHONPATH": os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MEMSIDECAR_DEFINITIONS": str(definitions),
        "MEMSIDECAR_LOG_LEVEL": "debug",
        "MEMSIDECAR_COMMAND_TIMEOUT_S": "1",
    }


def connected(sidecar: SidecarProcess, user: str, password: str) -> redis.asyncio.Redis:
    """Return a client of one connection, which is logged in."""
    return redis.asyncio.Redis(
        port=sidecar.port, username=user, password=password, decode_responses=True, single_connection_client=True
    )


async def fails(client: redis.asyncio.Redis, *words: str) -> None:
    """Send a command that is answered with an error."""
    with pytest.raises((redis.exceptions.ResponseError, redis.exceptions.ConnectionError)):
        await run(client, *words)


def conversation() -> Iterator[str]:
    for number in range(60):
        yield from ("user", f"turn {number}: my password is {MARK}, and I live at the harbour")


async def reload(process: SidecarProcess | WorkerProcess, definitions: Path, written: Written) -> None:
    """Have the process read definitions that are wrong in every way."""
    for text, sign in ((REFUSED, "key_template"), (NO_YAML, "is not YAML")):
        await asyncio.to_thread(definitions.write_text, text)
        os.kill(process.pid, signal.SIGHUP)

        def told(sign: str = sign) -> bool:
            return any("reload.refused" in line and sign in line for line in written.lines)

        await eventually(told, limit_s=LIMIT_S, why=f"that the definitions are wrong is not told: {sign}")


async def wrong_commands(client: redis.asyncio.Redis) -> None:
    """Send what is answered with errors, by us and by Redis, all with the word in it."""
    await fails(client, MARK, MARK)
    await fails(client, "GET", MARK, MARK)
    await fails(client, "MEMREAD", f"chat:{MARK}", MARK)
    await fails(client, "MEMREAD", f"{MARK}:{MARK}")
    await fails(client, "MEMAPPEND", f"chat:{MARK}", MARK, MARK)
    await fails(client, "MEMAPPEND", f"chat:{MARK}", "JSON", f"{{{MARK}")
    await fails(client, "MEMAPPEND", f"chat:{MARK}", "LOCK", MARK, "user", MARK)
    await fails(client, "MEMAPPEND", "task:{{ " + MARK + " }}", "user", MARK)
    await run(client, "MEMUNLOCK", f"chat:{MARK}", MARK)
    await fails(client, "EVAL", f"return redis.error_reply('{MARK} {MARK}')", "0")
    await fails(client, "MEMCONTEXT", f"{{{MARK}")


async def test_a_sidecar(
    start_redis: StartRedis, children: Children, settings: dict[str, str], definitions: Path, written: Written
) -> None:
    """Users, passwords, keys, messages, tokens, contexts, errors of a summariser, and values of definitions: a sidecar
    that met trouble with all of them has written none."""
    server = start_redis("--requirepass", PASSWORD, appendonly=True)
    with redis.Redis(port=server.port, password=PASSWORD) as admin:
        admin.execute_command("ACL", "SETUSER", USER, "on", f">{CLIENT_PASSWORD}", "+@all", "~*", "&*")
        admin.execute_command("ACL", "SETUSER", f"poor-{MARK}", "on", f">{CLIENT_PASSWORD}", "+@connection")
        admin.set("mem:due:{07}:default", MARK)  # in the place of an outbox
    sidecar = SidecarProcess(
        port=free_port(),
        http_port=free_port(),
        settings={**settings, "MEMSIDECAR_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0"},
        on_line=written.lines.append,
    )
    children.add(sidecar)
    key = f"chat:{MARK}@example.org"
    with pytest.raises(redis.exceptions.AuthenticationError):
        await connected(sidecar, USER, f"wrong-{MARK}").ping()
    async with connected(sidecar, f"poor-{MARK}", CLIENT_PASSWORD) as client:
        await fails(client, "MEMAPPEND", key, "user", MARK)
        await fails(client, "GET", MARK)
    async with connected(sidecar, USER, CLIENT_PASSWORD) as client:
        await wrong_commands(client)
        await run(client, "MEMCONTEXT", json.dumps({"user": {"name": MARK}}))
        await run(client, "MEMAPPEND", "task", "user", MARK)
        token = as_map(await run(client, "MEMLOCK", key, "60000"))["token"]
        words = ("IDEMPOTENT", f"token-{MARK}", "LOCK", token, "META", json.dumps({"by": MARK}))
        await run(client, "MEMAPPEND", key, *words, *conversation())
        await run(client, "MEMUNLOCK", key, token)
        flushed = as_map(await run(client, "MEMFLUSH", key, "WAIT", "60000"))
        assert flushed["status"] in ("done", "not-due")
        await run(client, "MEMAPPEND", f"notes:{MARK}", *conversation())
        await written.until("summary.failed", "summariser.failed", "flush.fell_back", "outbox.spoilt")
        await reload(sidecar, definitions, written)
        server.kill()
        await fails(client, "MEMAPPEND", key, "user", MARK)
    await written.until("redis.unreachable", "gate.closed")
    server.start()
    await eventually(sidecar.is_ready, limit_s=LIMIT_S, why="clients cannot connect again")
    os.kill(sidecar.pid, signal.SIGTERM)
    await eventually(lambda: not sidecar.running, limit_s=LIMIT_S)
    assert {"sidecar ready", "client.connected", "reload.refused", "sidecar stopping"} <= written.events()
    assert any('"memory": "chat#' in line for line in written.lines), "no line is about a memory"
    written.check()


async def test_a_worker(
    start_redis: StartRedis,
    start_temporal: StartTemporal,
    children: Children,
    settings: dict[str, str],
    definitions: Path,
    written: Written,
) -> None:
    """Nor has a worker, whose Temporal and Redis go away, and whose steps fail: not even what Temporal's SDK says, to
    which the name of every memory is the id of a workflow."""
    server = start_redis("--requirepass", PASSWORD, appendonly=True)
    temporal = start_temporal()
    shared = {
        **settings,
        "MEMSIDECAR_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0",
        "MEMSIDECAR_TEMPORAL_ADDRESS": temporal.address,
        "MEMSIDECAR_TEMPORAL_GRACE_S": "1",
    }
    sidecar = SidecarProcess(
        port=free_port(), http_port=free_port(), settings={**shared, "MEMSIDECAR_ENGINE": "temporal"}
    )
    worker = WorkerProcess(settings=shared, on_line=written.lines.append)
    children.add(worker, wait=False)
    children.add(sidecar)
    await written.until("worker ready")
    async with connected(sidecar, "default", PASSWORD) as client:
        key = f"chat:{MARK}@example.org"
        await run(client, "MEMAPPEND", key, *conversation())
        flushed = as_map(await run(client, "MEMFLUSH", key, "WAIT", "60000"))
        assert flushed["status"] in ("done", "not-due")
        await run(client, "MEMAPPEND", f"notes:{MARK}", *conversation())
        await written.until("summary.failed", "flush.fell_back", "summariser.failed", "library.logged")
        await reload(worker, definitions, written)
        server.kill()
        before = failures(written)
        await eventually(lambda: failures(written) > before, limit_s=LIMIT_S, why="no step fails for want of Redis")
        temporal.kill()
        await written.until("temporal.core")
    os.kill(worker.pid, signal.SIGTERM)
    await eventually(lambda: not worker.running, limit_s=LIMIT_S)
    written.check()


def failures(written: Written) -> int:
    """Count the tries of steps that have failed."""
    return sum("Completing activity as failed" in line for line in written.lines)
