"""Settings and definitions change what a running sidecar does, each in the way its description says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.tokens.vocabulary import load_encoding
from tests.e2e.agents import as_map, definitions_file, run
from tests.support.children import StartSidecar
from tests.support.waiting import eventually

SAID = "naïve café: 数を数える, 14:05 🙂"


async def test_definitions_and_names(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """Encoding, media estimates, limits, life time, strict, project, key prefix and token engine have their effects."""
    definition: dict[str, Any] = {
        "id": "chat",
        "model": "gpt-4",
        "max_tokens": 9_000,
        "max_messages": 50,
        "ttl": "2h",
        "media": {"image_tokens": 111, "audio_tokens": 222},
    }
    definitions = tmp_path / "definitions.yaml"
    definitions.write_text(json.dumps({"strict": True, "definitions": [definition]}))
    sidecar = sidecar_process(
        redis_url=redis_url,
        definitions=definitions,
        settings={
            "MEMSIDECAR_PROJECT": "shop",
            "MEMSIDECAR_KEY_PREFIX": "agent",
            "MEMSIDECAR_TOKEN_ENGINE": "tiktoken",
        },
    )
    parts = [{"type": "text", "text": SAID}, {"type": "image_url"}, {"type": "input_audio"}]
    encoding = load_encoding("cl100k_base")
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        message = json.dumps({"role": "user", "content": parts})
        appended = as_map(await run(client, "MEMAPPEND", "chat:one", "JSON", message))
        assert appended["tokens"] == 3 + 1 + len(encoding.encode(SAID)) + 111 + 222
        info = as_map(await run(client, "MEMINFO", "chat:one"))
        assert (info["encoding"], info["limit-tokens"], info["limit-messages"]) == ("cl100k_base", 9_000, 50)
        assert 7_100_000 < info["ttl-ms"] <= 7_200_000
        with pytest.raises(redis.exceptions.ResponseError, match="NOMEMORY"):
            await run(client, "MEMINFO", "other:one")
        health = as_map(await run(client, "MEMHEALTH"))
        assert as_map(health["tokenizer"]) == {"cl100k_base": "tiktoken"}
    keys: Any = await redis_client.keys()
    names = {key.decode() for key in keys}
    assert {name.split(":")[0] for name in names} == {"agent"}
    assert all(name.endswith(":shop:chat:one") for name in names)


async def test_fifo_and_its_shares(redis_url: str, sidecar_process: StartSidecar, tmp_path: Path) -> None:
    """A flush is due above the threshold, brings the memory to the target, and fifo leaves no summary."""
    definitions = definitions_file(
        tmp_path,
        id="chat",
        max_tokens=None,
        max_messages=20,
        flush={"strategy": "fifo", "threshold": 0.5, "target": 0.2},
    )
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions)
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        for number in range(10):
            appended = as_map(await run(client, "MEMAPPEND", "chat:one", "user", f"message {number}"))
            assert appended["flush"] == "none"
        assert as_map(await run(client, "MEMAPPEND", "chat:one", "user", "one more"))["flush"] == "due"
        flushed = as_map(await run(client, "MEMFLUSH", "chat:one", "WAIT", "10000"))
        assert flushed["status"] in ("done", "not-due")  # the sidecar's own flush may have been quicker
        read = as_map(await run(client, "MEMREAD", "chat:one"))
    assert (read["summary"], read["total-messages"]) == (None, 4)


async def test_one_client_too_many(redis_url: str, sidecar_process: StartSidecar) -> None:
    """Above `max_clients` a client gets Redis's own refusal; once another one has left, it is served."""
    sidecar = sidecar_process(redis_url=redis_url, settings={"MEMSIDECAR_MAX_CLIENTS": "1"})

    async def admitted() -> asyncio.StreamWriter | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(b"PING\r\n")
        line = await reader.readline()
        assert line in (b"+PONG\r\n", b"-ERR max number of clients reached\r\n")
        if line.startswith(b"+"):
            return writer
        writer.close()
        return None

    # The look whether the sidecar had started was a client too, and may not have left yet.
    first = await eventually(admitted, why="nobody is served")
    assert first is not None
    assert await admitted() is None
    first.close()
    second = await eventually(admitted, why="the place that was left is not given away")
    assert second is not None
    second.close()


async def test_half_requests_of_all_clients(redis_url: str, sidecar_process: StartSidecar) -> None:
    """Above `max_held_bytes` of half requests, the client with most of them is disconnected; others are served."""
    settings = {"MEMSIDECAR_MAX_REQUEST_BYTES": "700000", "MEMSIDECAR_MAX_HELD_BYTES": "700000"}
    sidecar = sidecar_process(redis_url=redis_url, settings=settings)
    text = b"word " * 120_000
    request = b"*2\r\n$8\r\nMEMCOUNT\r\n$%d\r\n%b\r\n" % (len(text), text)
    greedy_reader, greedy = await asyncio.open_connection("127.0.0.1", sidecar.port)
    modest_reader, modest = await asyncio.open_connection("127.0.0.1", sidecar.port)
    greedy.write(request[:-1])
    modest.write(request[:150_000])
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(greedy_reader.read(), 20) == b""
    modest.write(request[150_000:])
    assert await asyncio.wait_for(modest_reader.readline(), 20) == b"*1\r\n"
    assert await modest_reader.readline() == b":120001\r\n"
    modest.close()
    assert "\nmemsidecar_clients_over_held_limit_total 1.0\n" in await asyncio.to_thread(fetch, sidecar.metrics_url)
    assert any("client.held_limit" in line for line in sidecar.tail())


@pytest.mark.parametrize(("kept", "walks"), [(None, 1), ("0", 2)])
async def test_kept_reads(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    sidecar_process: StartSidecar,
    kept: str | None,
    walks: int,
) -> None:
    """A read of an unchanged memory is walked once, and each time where `max_kept_bytes` keeps nothing."""
    sidecar = sidecar_process(redis_url=redis_url, settings={} if kept is None else {"MEMSIDECAR_MAX_KEPT_BYTES": kept})
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        await run(client, "MEMAPPEND", "one", "user", SAID, "assistant", "hello")
        before = await redis_client.info("commandstats")
        replies = [await run(client, "MEMREAD", "one") for _ in range(2)]
    after = await redis_client.info("commandstats")
    assert replies[0] == replies[1]
    name = "cmdstat_xrange"
    assert after[name]["calls"] - before.get(name, {"calls": 0})["calls"] == walks


async def test_starts_of_flushes(redis_url: str, sidecar_process: StartSidecar, tmp_path: Path) -> None:
    """Flushes start in a burst, and then at the rate that the settings allow."""
    definitions = definitions_file(
        tmp_path,
        id="chat",
        max_tokens=None,
        max_messages=10,
        flush={"strategy": "fifo", "threshold": 0.5, "target": 0.2},
    )
    settings = {"MEMSIDECAR_FLUSH_STARTS_PER_S": "2", "MEMSIDECAR_FLUSH_START_BURST": "1"}
    sidecar = sidecar_process(redis_url=redis_url, definitions=definitions, settings=settings)
    loop = asyncio.get_running_loop()
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:
        began = loop.time()
        for number in range(4):
            for _ in range(8):
                await run(client, "MEMAPPEND", f"chat:{number}", "user", "hello")

    async def started() -> bool:
        line = 'memsidecar_flush_triggers_total{outcome="started"} 4.0'
        return line in await asyncio.to_thread(fetch, sidecar.metrics_url)

    await eventually(started, why="not all flushes were started")
    assert loop.time() - began >= 3 / 2


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as page:
        return str(page.read(), "utf-8")
