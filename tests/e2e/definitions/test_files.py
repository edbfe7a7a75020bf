"""What stands beside the definitions, and holds for those of all files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk
from tests.support.children import Children, StartSidecar

ONE = """
strict: true
log_level: warning
defaults: {max_messages: 6, flush: {strategy: fifo, target: 0.5}}
definitions: [{id: first}]
"""

OTHER = """
definitions:
  - {id: second}
  - {id: third, max_messages: 9, flush: {target: 0.1}}
"""


@pytest.fixture(scope="package")
def strict_sidecar(
    package_children: Children, memory_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """A sidecar with two files, each named by itself."""
    paths = [tmp_path_factory.mktemp("files") / name for name in ("one.yaml", "other.yaml")]
    for path, text in zip(paths, (ONE, OTHER), strict=True):
        path.write_text(text)
    return StartSidecar(package_children)(
        redis_url=memory_redis.url,
        settings={
            "MEMSIDECAR_DEFINITIONS": os.pathsep.join(map(str, paths)),
            "MEMSIDECAR_PROJECT": "strict",  # the other sidecar of this package does not know these memories
        },
    )


@pytest.fixture
async def strict_talk(strict_sidecar: SidecarProcess) -> AsyncIterator[Talk]:
    """A client of it."""
    async with redis.asyncio.Redis.from_url(strict_sidecar.url, decode_responses=True) as client:
        yield Talk(client)


@shows("strict")
async def test_strict(strict_talk: Talk, talk: Talk) -> None:
    """A key that names no definition is refused; otherwise it would be one of the built-in definition."""
    refusal = await strict_talk.refused("MEMAPPEND", "elsewhere:one", "user", "hello")
    assert refusal.startswith("NOMEMORY no memory definition for key 'elsewhere:one'; ")
    assert refusal.endswith("first, second, third")
    assert await strict_talk.ask("MEMDEFS") == ["first", "second", "third"]
    assert (await talk.say("elsewhere:one", "hello"))["appended"] == 1
    assert "default" in await talk.ask("MEMDEFS")


@shows("log_level")
async def test_log_level(strict_sidecar: SidecarProcess, strict_talk: Talk) -> None:
    """Lines below it are not written: not that the sidecar is ready, which is told at `info`."""
    await strict_talk.ask("PING")
    assert not any('"info"' in line for line in strict_sidecar.tail())


@shows("defaults")
async def test_defaults(strict_talk: Talk) -> None:
    """What stands there holds for the definitions of all files, part by part, unless they say otherwise."""
    for name, texts, left in (("first", "abcde", "cde"), ("second", "abcde", "cde"), ("third", "abcdefgh", "h")):
        key = f"{name}:defaults"
        assert (await strict_talk.say(key, *texts))["flush"] == "due"
        await strict_talk.flush(key)
        assert await strict_talk.texts(key) == list(left)
        assert (await strict_talk.map("MEMREAD", key))["summary"] is None


@shows("definitions")
async def test_definitions_of_several_files(strict_talk: Talk) -> None:
    """The definitions of all files are in force."""
    limits = [(await strict_talk.map("MEMINFO", f"{name}:one"))["limit-messages"] for name in ("first", "third")]
    assert limits == [6, 9]
