"""The mark that a flush is due outlives Temporal's absence and the death of the sidecar that set it."""

from __future__ import annotations

from pathlib import Path

import redis.asyncio

from sidecar.dev.ports import free_port
from tests.e2e.agents import as_map, definitions_file, meta, run, stored, write_many
from tests.support.children import StartSidecar, StartTemporal, StartWorker
from tests.support.waiting import eventually

SWEEP_OFTEN = {"MEMSIDECAR_SWEEP_INTERVAL_S": "0.3"}


async def test_the_flush_comes_by_itself_when_temporal_is_back(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    start_temporal: StartTemporal,
    tmp_path: Path,
) -> None:
    """Temporal is down when the threshold is crossed: appends go on, and the flush happens once it is there."""
    definitions = definitions_file(tmp_path, id="small", max_tokens=500)
    temporal_port = free_port()
    address = f"127.0.0.1:{temporal_port}"
    sidecar = sidecar_process(
        redis_url=redis_url,
        engine="temporal",
        temporal_address=address,
        definitions=definitions,
        settings=SWEEP_OFTEN,
    )
    ids = await write_many(sidecar.url, "small:one", writer=1, appends=60)
    assert len(await stored(redis_client, "small", "one")) == len(ids) == 60

    start_temporal(port=temporal_port)
    worker_process(redis_url=redis_url, temporal_address=address, definitions=definitions)
    await eventually(lambda: _flushed(redis_client), limit_s=40, why="no flush although Temporal is back")

    entries = await stored(redis_client, "small", "one")
    totals = await meta(redis_client, "small", "one")
    assert [entry.id for entry in entries] == ids[-len(entries) :]
    assert len(entries) + int(totals["summary_messages"]) == 60
    assert totals["last_status"] == "done"


async def test_another_sidecar_serves_the_mark_of_one_that_was_killed(
    redis_url: str, redis_client: redis.asyncio.Redis, sidecar_process: StartSidecar, tmp_path: Path
) -> None:
    """The sidecar is killed between the append and the flush: another one finds the mark and flushes."""
    definitions = definitions_file(tmp_path, id="small", max_tokens=500)
    # Its engine cannot be reached, so it can set the mark and do nothing about it.
    doomed = sidecar_process(
        redis_url=redis_url,
        engine="temporal",
        temporal_address=f"127.0.0.1:{free_port()}",
        definitions=definitions,
    )
    ids = await write_many(doomed.url, "small:one", writer=1, appends=60)
    doomed.kill()
    assert not await _flushed(redis_client)

    heir = sidecar_process(redis_url=redis_url, definitions=definitions, settings=SWEEP_OFTEN)
    await eventually(lambda: _flushed(redis_client), limit_s=30, why="nobody served the mark")
    async with redis.asyncio.Redis.from_url(heir.url) as client:
        info = as_map(await run(client, "MEMINFO", "small:one"))
    assert (info["flush"], info["last-flush-strategy"]) == ("none", "hybrid_summary")
    entries = await stored(redis_client, "small", "one")
    totals = await meta(redis_client, "small", "one")
    assert len(entries) + int(totals["summary_messages"]) == len(ids)


async def _flushed(client: redis.asyncio.Redis) -> bool:
    return "last_run" in await meta(client, "small", "one")
