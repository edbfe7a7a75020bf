"""SIGHUP: memory definitions change while clients are connected, or stay as they were when the new ones are wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.exceptions

from sidecar.config.definitions import WITHHELD
from sidecar.dev.servers import WORKER_READY_LINE, RedisServer, SidecarProcess, TemporalServer
from sidecar.tokens.vocabulary import load_encoding
from tests.e2e.agents import as_map, definitions_file, run
from tests.support.children import Children, StartSidecar, StartWorker
from tests.support.waiting import eventually

SAID = "naïve café: 数を数える, 14:05 🙂"


class Reloaded:
    """A sidecar, and the folder of its definitions."""

    def __init__(self, sidecar: SidecarProcess, folder: Path) -> None:
        self.sidecar = sidecar
        self.file = folder / "definitions.yaml"
        self.folder = folder
        self._versions = count(1)

    def signal(self) -> None:
        """Tell the process to read its definitions anew; returns before it has."""
        os.kill(self.sidecar.pid, signal.SIGHUP)

    async def put(self, *definitions: dict[str, Any], **others: Any) -> None:
        """Put a file with these definitions, and one that marks it, in force."""
        version = f"put-{next(self._versions)}"
        self.file.write_text(json.dumps({"definitions": [{"id": "mark", "version": version}, *definitions], **others}))
        self.signal()
        async with self.client() as client:

            async def in_force() -> bool:
                return bool(as_map(await run(client, "MEMDEFS", "mark"))["version"] == version)

            await eventually(in_force, why="the new definitions are not in force")

    def client(self) -> redis.asyncio.Redis:
        """Return a client of one connection."""
        return redis.asyncio.Redis.from_url(self.sidecar.url, decode_responses=True, single_connection_client=True)

    async def refusals(self, *signs: str) -> list[dict[str, Any]]:
        """Wait until the log has a refused reload with each of these texts; return these lines."""

        def lines() -> list[dict[str, Any]] | None:
            said = [json.loads(line) for line in self.sidecar.tail() if '"reload.refused"' in line]
            found = [next((line for line in said if sign in line["problem"]), None) for sign in signs]
            return None if None in found else [line for line in found if line]

        found = await eventually(lines, why="the log does not tell what is wrong")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def one_sidecar(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloaded]:
    """A sidecar that all tests here tell what is in force; its memories are in a project of their own."""
    children = Children()
    folder = tmp_path_factory.mktemp("definitions")
    (folder / "definitions.yaml").write_text("definitions: [{id: mark}]")
    settings = {"MEMSIDECAR_PROJECT": "reloading"}
    sidecar = StartSidecar(children)(redis_url=redis_server.url, definitions=folder, settings=settings)
    yield Reloaded(sidecar, folder)
    children.stop_all()


@pytest.fixture
def reloaded(one_sidecar: Reloaded) -> Iterator[Reloaded]:
    """That sidecar; what a test has put beside its file is taken away again."""
    yield one_sidecar
    for path in one_sidecar.folder.iterdir():
        if path != one_sidecar.file:
            path.unlink()


@pytest.fixture
async def client(reloaded: Reloaded) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of it, connected before anything is reloaded."""
    async with reloaded.client() as client:
        await run(client, "PING")
        yield client


async def texts(client: redis.asyncio.Redis, key: str) -> list[str]:
    """Return the texts of a memory's messages."""
    read = as_map(await run(client, "MEMREAD", key))
    return [as_map(message)["content"] for message in read["messages"]]


async def test_no_connection_is_dropped(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """A client, a subscriber and a reader that waits keep their connections, and new definitions hold for them."""
    await reloaded.put({"id": "open", "max_messages": 50})
    await run(client, "MEMAPPEND", "open:one", "user", "before")
    reader, writer = await asyncio.open_connection("127.0.0.1", reloaded.sidecar.port)
    writer.write(b"SUBSCRIBE reloading-news\r\n")
    assert await reader.readuntil(b":1\r\n")
    mine = await client.client_id()
    async with reloaded.client() as other:
        waiting = asyncio.create_task(run(other, "MEMREAD", "open:one", "SINCE", "$", "BLOCK", "60000"))

        async def waits() -> bool:
            keys: Any = await client.execute_command("PUBSUB", "CHANNELS", "mem:wake:*:reloading:open:one")  # type: ignore[no-untyped-call]  # redis-py left it without types
            return bool(keys)

        await eventually(waits, why="the reader does not wait")
        await reloaded.put({"id": "open", "max_messages": 70}, {"id": "new"})

        assert as_map(await run(client, "MEMINFO", "open:one"))["limit-messages"] == 70
        assert as_map(await run(client, "MEMAPPEND", "new:one", "user", "hello"))["appended"] == 1
        assert not waiting.done()
        await run(client, "MEMAPPEND", "open:one", "user", "after")
        assert [as_map(each)["content"] for each in as_map(await waiting)["messages"]] == ["after"]
    assert await client.client_id() == mine
    await run(client, "PUBLISH", "reloading-news", "still there")
    assert (await reader.readuntil(b"still there\r\n")).startswith(b"*3\r\n$7\r\nmessage\r\n")
    writer.close()


BROKEN = """\
definitions:
  - id: kept
    max_messages: 70
  - id: wrong
    flush:
      strategy: dream
    colour: red
"""


async def test_a_broken_file_is_refused(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """All that is wrong is logged with file, line, definition and field, and what was in force stays, all of it."""
    await reloaded.put({"id": "kept", "max_messages": 50})
    broken = reloaded.file
    broken.write_text(BROKEN)
    reloaded.signal()
    strategy, colour = await reloaded.refusals("flush.strategy", "colour")
    assert strategy["problem"] == f"{broken}:6: definition 'wrong', flush.strategy: {WITHHELD}"
    assert colour["problem"] == f"{broken}:7: definition 'wrong', colour: there is no such field"
    assert {(each["level"], each["what"]) for each in (strategy, colour)} == {("error", "definitions")}
    assert await run(client, "MEMDEFS") == ["default", "kept", "mark"]
    assert as_map(await run(client, "MEMINFO", "kept:one"))["limit-messages"] == 50

    broken.write_text("definitions: [")
    reloaded.signal()
    await reloaded.refusals(f"{broken}:1: is not YAML")
    broken.unlink()
    reloaded.signal()
    await reloaded.refusals(f"{reloaded.folder}: holds no .yaml or .yml file")
    assert as_map(await run(client, "MEMINFO", "kept:one"))["limit-messages"] == 50

    await reloaded.put({"id": "kept", "max_messages": 70})
    assert as_map(await run(client, "MEMINFO", "kept:one"))["limit-messages"] == 70


async def test_a_definition_that_vanishes(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """Its memories are out of reach, not lost: they are there again, whole, when the definition is."""
    leaving = {"id": "leaving", "max_messages": 50}
    await reloaded.put(leaving)
    await run(client, "MEMAPPEND", "leaving:one", "user", "a", "user", "b")

    await reloaded.put(strict=True)
    with pytest.raises(redis.exceptions.ResponseError, match="NOMEMORY no memory definition for key 'leaving:one'"):
        await run(client, "MEMREAD", "leaving:one")

    await reloaded.put()
    assert await texts(client, "leaving:one") == []  # it is an instance of the default one now
    await run(client, "MEMAPPEND", "leaving:one", "user", "of the default")
    assert await texts(client, "default:leaving:one") == ["of the default"]

    await reloaded.put(leaving)
    assert await texts(client, "leaving:one") == ["a", "b"]


async def test_other_settings_of_a_known_memory(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """Limits, life, privacy, locking and flushes of a memory follow the new definition with the next command."""
    key = "changed:one"
    await reloaded.put({"id": "changed", "max_messages": 100, "ttl": "1h"})
    for number in range(3):
        await run(client, "MEMAPPEND", key, "user", f"{number} bob@example.com")
    assert 0 < as_map(await run(client, "MEMINFO", key))["ttl-ms"] <= 3_600_000

    changed = {
        "max_messages": 10,
        "flush": {"strategy": "fifo", "target": 0.1},
        "privacy": {"redact": ["email"]},
        "locking": {"max_lease": "1s"},
        "limits": {"request_messages": 6},
    }
    await reloaded.put({"id": "changed", **changed})
    said = as_map(await run(client, "MEMAPPEND", key, *(("user", "bob@example.com") * 5)))
    assert said["flush"] == "none"
    assert (await texts(client, key))[2:] == ["2 bob@example.com", *(["[email]"] * 5)]
    info = as_map(await run(client, "MEMINFO", key))
    assert (info["limit-messages"], float(info["usage"]), info["ttl-ms"]) == (10, 0.8, None)
    with pytest.raises(redis.exceptions.ResponseError, match="ttl-ms must be 100 to 1000 for 'changed'"):
        await run(client, "MEMLOCK", key, "1001")
    with pytest.raises(redis.exceptions.ResponseError, match="may have 6 messages, this one has 7"):
        await run(client, "MEMAPPEND", key, *(("user", "x") * 7))
    assert as_map(await run(client, "MEMAPPEND", key, "user", "the last"))["flush"] == "due"
    await run(client, "MEMFLUSH", key, "WAIT", "30000")
    assert await texts(client, key) == ["the last"]


async def test_another_encoding(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """A memory goes on in the encoding that it was begun with until it is cleared; a new one takes the new one."""
    weights = [
        3 + sum(len(load_encoding(name).encode(text)) for text in ("user", SAID))
        for name in ("o200k_base", "cl100k_base")
    ]
    await reloaded.put({"id": "counted"})
    assert as_map(await run(client, "MEMAPPEND", "counted:old", "user", SAID))["tokens"] == weights[0]
    await reloaded.put({"id": "counted", "encoding": "cl100k_base"})
    assert as_map(await run(client, "MEMAPPEND", "counted:new", "user", SAID))["tokens"] == weights[1]
    assert as_map(await run(client, "MEMAPPEND", "counted:old", "user", SAID))["tokens"] == 2 * weights[0]
    assert as_map(await run(client, "MEMINFO", "counted:old"))["encoding"] == "o200k_base"
    await run(client, "MEMCLEAR", "counted:old")
    assert as_map(await run(client, "MEMAPPEND", "counted:old", "user", SAID))["tokens"] == weights[1]


async def test_a_new_file_in_the_folder(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """A file that has come into the folder is read too; one that says an id again is refused with both places."""
    await reloaded.put({"id": "first"})
    more = reloaded.folder / "more.yaml"
    more.write_text("definitions:\n  - id: first")
    reloaded.signal()
    await reloaded.refusals(f"{more}:2: definition 'first', id: is defined in {reloaded.file}:1 too")
    more.write_text("definitions:\n  - id: second")
    await reloaded.put({"id": "first"})
    assert await run(client, "MEMDEFS") == ["default", "first", "mark", "second"]


async def test_the_latest_file_is_in_force(reloaded: Reloaded, client: redis.asyncio.Redis) -> None:
    """Signals that come while files are being read are not lost: in the end the last file holds."""
    for limit in range(1, 40):
        reloaded.file.write_text(json.dumps({"definitions": [{"id": "often", "max_messages": limit}]}))
        reloaded.signal()

    async def last() -> bool:
        return bool(as_map(await run(client, "MEMINFO", "often:one"))["limit-messages"] == 39)

    await eventually(last, why="an older file is in force")


async def test_a_worker_reads_them_anew(
    redis_url: str,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    tmp_path: Path,
) -> None:
    """A Temporal worker goes on after SIGHUP, and its next flush is that of the new definition."""
    definition: dict[str, Any] = {"id": "worked", "max_messages": 10, "flush": {"strategy": "fifo", "target": 0.5}}
    definitions = definitions_file(tmp_path, **definition)
    deployment: dict[str, Any] = {
        "redis_url": redis_url,
        "temporal_address": temporal_server.address,
        "definitions": definitions,
        "settings": {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": "reloading", "MEMSIDECAR_PROJECT": "reloading-worker"},
    }
    worker = worker_process(**deployment, wait=False)
    sidecar = sidecar_process(engine="temporal", **deployment)
    await eventually(lambda: worker.has_printed(WORKER_READY_LINE), limit_s=60, why="the worker does not poll")
    definitions_file(tmp_path, **{**definition, "flush": {"strategy": "fifo", "target": 0.2}})
    os.kill(worker.pid, signal.SIGHUP)
    await eventually(lambda: worker.has_printed('"reload.done"'), why="the worker does not read them anew")
    async with redis.asyncio.Redis.from_url(sidecar.url, decode_responses=True) as client:
        await run(client, "MEMAPPEND", "worked:one", *(word for text in "abcdefghi" for word in ("user", text)))
        flushed = as_map(await run(client, "MEMFLUSH", "worked:one", "WAIT", "60000"))
        assert flushed["status"] in ("done", "not-due")
        assert await texts(client, "worked:one") == ["h", "i"]
