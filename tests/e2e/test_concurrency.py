"""Many writers on one memory, over two sidecar processes: nothing is lost, nothing is doubled, every total is exact."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis.asyncio

from tests.e2e.agents import Entry, as_map, definitions_file, meta, origin, recount, run, stored, write_all
from tests.support.children import StartSidecar
from tests.support.waiting import eventually

WRITERS = 50
APPENDS = 200


def assert_ordered_like_each_writer(entries: list[Entry]) -> None:
    """Every writer's messages lie in the order in which that writer sent them."""
    numbers: dict[int, list[int]] = {}
    for entry in entries:
        writer, number = origin(entry.content)
        numbers.setdefault(writer, []).append(number)
    assert all(sent == sorted(set(sent)) for sent in numbers.values())


async def test_every_acknowledged_message_is_there_exactly_once(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """50 writers with 200 appends on one memory over two sidecars: each once, in each writer's order, totals exact."""
    definitions = definitions_file(tmp_path, id="endless", max_tokens=None)
    urls = [sidecar_process(redis_url=redis_url, definitions=definitions).url for _ in range(2)]
    acknowledged = await write_all(urls, "endless:crowd", writers=WRITERS, appends=APPENDS)

    entries = await stored(redis_client, "endless", "crowd")
    assert len(entries) == WRITERS * APPENDS
    assert sorted(entry.id for entry in entries) == sorted(id_ for ids in acknowledged.values() for id_ in ids)
    assert {origin(entry.content) for entry in entries} == {
        (writer, number) for writer in range(WRITERS) for number in range(APPENDS)
    }
    assert_ordered_like_each_writer(entries)
    totals = await meta(redis_client, "endless", "crowd")
    assert int(totals["messages"]) == len(entries)
    assert int(totals["tokens"]) == sum(entry.tokens for entry in entries) == recount(entries)


async def test_flushes_take_only_what_they_planned(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """The same while flushes run: whatever is missing is in the summary's range, older than all that is left."""
    definitions = definitions_file(tmp_path, id="busy", max_tokens=4000, flush={"strategy": "hybrid_summary"})
    urls = [sidecar_process(redis_url=redis_url, definitions=definitions).url for _ in range(2)]
    writing = asyncio.create_task(write_all(urls, "busy:crowd", writers=WRITERS, appends=APPENDS))
    async with redis.asyncio.Redis.from_url(urls[0]) as client:
        while not writing.done():
            await run(client, "MEMFLUSH", "busy:crowd", "FORCE", "WAIT", "20000")
        acknowledged = await writing
        await eventually(
            lambda: _settled(client, "busy:crowd"), limit_s=30, why="flushes go on although nobody writes any more"
        )

    entries = await stored(redis_client, "busy", "crowd")
    totals = await meta(redis_client, "busy", "crowd")
    left = {entry.id for entry in entries}
    gone = {id_ for ids in acknowledged.values() for id_ in ids} - left
    assert left <= {id_ for ids in acknowledged.values() for id_ in ids}, "a message was stored twice"
    assert gone, "no flush ran, so the test proves nothing"
    assert len(gone) == int(totals["summary_messages"])
    assert max(map(_order, gone)) == _order(totals["summary_last"])
    assert min(map(_order, gone)) == _order(totals["summary_first"])
    assert max(map(_order, gone)) < min(map(_order, left))
    assert totals["summary"]
    assert_ordered_like_each_writer(entries)
    assert int(totals["messages"]) == len(entries)
    assert int(totals["tokens"]) == recount(entries)


async def _settled(client: redis.asyncio.Redis, key: str) -> bool:
    flush: str = as_map(await run(client, "MEMINFO", key))["flush"]
    return flush == "none"


def _order(id_: str) -> tuple[int, int]:
    milliseconds, sequence = id_.split("-")
    return int(milliseconds), int(sequence)
