"""MEMFLUSH with all its options, through the local engine and through Temporal: what it tells is what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from sidecar.dev.servers import SidecarProcess, TemporalServer
from sidecar.memory.plan import STRATEGIES
from tests.e2e.agents import Entry, as_map, meta, patient, run, stored
from tests.support.children import StartSidecar, StartWorker
from tests.support.waiting import eventually

KEY = "chat:talk"

MESSAGES = 60
"""With `said`, about 1,400 tokens: below the threshold of 1,800, and above the target of 1,000."""

WAIT = ("WAIT", "60000")

Ways = tuple[str, str]
"""Addresses of two sidecars, or twice that of one."""


def said(number: int) -> str:
    """Return the content of a message, of 20 tokens or so."""
    return f"In turn {number} the parcel left Rotterdam at 14:05 and will arrive in Ghent on day {number}."


ORDERS = (
    ("FORCE", True),
    ("FORCE STRATEGY fifo", False),
    ("FORCE STRATEGY hybrid_summary", True),
    ("TARGET 300", True),
    ("TARGET 300 STRATEGY fifo FORCE", False),
)
"""Options, and whether there is a summary afterwards."""


async def fill(client: redis.asyncio.Redis, messages: int = MESSAGES) -> None:
    """Append a talk."""
    await run(client, "MEMAPPEND", KEY, *(word for number in range(messages) for word in ("user", said(number))))


async def flush(client: redis.asyncio.Redis, *options: str) -> dict[str, Any]:
    """Run MEMFLUSH."""
    return as_map(await run(client, "MEMFLUSH", KEY, *options))


async def talk(client: redis.asyncio.Redis) -> list[Entry]:
    """Return what is stored."""
    return await stored(client, "chat", "talk")


async def runs(client: redis.asyncio.Redis) -> None:
    """Wait until the flush that was started has begun; through Temporal that takes a moment."""

    async def running() -> bool:
        flush: str = as_map(await run(client, "MEMINFO", KEY))["flush"]
        return flush == "running"

    await eventually(running, why="the flush does not begin")


async def everything(client: redis.asyncio.Redis) -> dict[bytes, tuple[bytes | None, int]]:
    """Return every key on Redis with its content and life time; those of our definition never expire."""
    keys: list[Any] = await client.keys()
    return {key: (await client.dump(key), await client.pttl(key)) for key in sorted(keys)}


async def assert_told_and_done(ways: Ways, redis_client: redis.asyncio.Redis, line: str, *, summarised: bool) -> None:
    """DRYRUN changes no key, and the same order without it removes just that, with strategy and target as asked."""
    options = line.split()
    async with patient(ways[0]) as client:
        await fill(client)
        before, talked = await everything(redis_client), await talk(redis_client)
        planned = await flush(client, *options, "DRYRUN")
        assert planned.pop("status") == "would-flush"
        assert await everything(redis_client) == before
        done = await flush(client, *options, *WAIT)
        info = as_map(await run(client, "MEMINFO", KEY))
        read = as_map(await run(client, "MEMREAD", KEY))
    assert done["status"] == "done"
    assert {name: done[name] for name in planned} == planned
    left = await talk(redis_client)
    assert left == talked[done["removed"] :]
    assert 0 < done["removed"] < MESSAGES
    assert done["messages"] == info["messages"] == len(left)
    assert done["tokens"] == info["tokens"] == sum(entry.tokens for entry in left)
    assert done["tokens-freed"] == sum(entry.tokens for entry in talked) - done["tokens"]
    assert done["summary-tokens"] == info["summary-tokens"]
    assert (done["summary-tokens"] > 0, bool(read["summary"])) == (summarised, summarised)
    assert info["last-flush-strategy"] == done["strategy"] == ("hybrid_summary" if summarised else "fifo")
    target = int(options[options.index("TARGET") + 1]) if "TARGET" in options else 1_000
    assert done["tokens"] + done["summary-tokens"] <= target
    assert done["workflow-id"].startswith("memflush")
    assert done["run-id"]


async def assert_left_alone(ways: Ways, redis_client: redis.asyncio.Redis) -> None:
    """Below the threshold, or the target that is asked for, nothing is done; of an empty memory neither with FORCE."""
    async with patient(ways[0]) as client:
        for line in ("", "DRYRUN", "STRATEGY fifo", "FORCE", "FORCE DRYRUN"):
            assert (await flush(client, *line.split(), *WAIT))["status"] == "not-due"
        assert not await redis_client.keys()
        await fill(client)
        before = await everything(redis_client)
        for line in ("", "DRYRUN", "TARGET 1700", "STRATEGY fifo", "TARGET 1700 DRYRUN"):
            assert await flush(client, *line.split()) == {"status": "not-due"}
            assert await flush(client, *line.split(), *WAIT) == {"status": "not-due"}
        assert await everything(redis_client) == before


async def assert_joined(ways: Ways, redis_client: redis.asyncio.Redis) -> None:
    """While a flush runs every other order, at any sidecar, joins it; who waits gets its outcome, or TIMEOUT."""
    async with patient(ways[0]) as client, patient(ways[1]) as other, patient(ways[0]) as third:
        await fill(client)
        turn = as_map(await run(client, "MEMLOCK", KEY, "60000"))  # so that the flush cannot end
        started = await flush(client, "FORCE", "STRATEGY", "fifo")
        assert started == {"status": "started", "workflow-id": started["workflow-id"], "run-id": started["run-id"]}
        for each in (other, client):
            assert await flush(each, "FORCE") == {**started, "status": "joined"}
        waiting = [asyncio.ensure_future(flush(each, "FORCE", *WAIT)) for each in (other, third)]
        with pytest.raises(ResponseError, match=r"^TIMEOUT "):
            await flush(client, "FORCE", "WAIT", "50")
        await runs(client)
        assert len(await talk(redis_client)) == MESSAGES
        await run(client, "MEMUNLOCK", KEY, turn["token"])
        outcomes = await asyncio.gather(*waiting)
        assert as_map(await run(client, "MEMINFO", KEY))["flush"] == "none"
    first, second = outcomes
    assert first == second
    assert (first["status"], first["strategy"], first["run-id"]) == ("done", "fifo", started["run-id"])
    assert len(await talk(redis_client)) == MESSAGES - first["removed"]


@pytest.fixture
def ways(sidecars: Sequence[SidecarProcess]) -> Ways:
    """Addresses of two sidecars with the local engine."""
    first, second = sidecars
    return first.url, second.url


@pytest.mark.parametrize(("line", "summarised"), ORDERS)
async def test_a_dry_run_tells_what_the_flush_then_does(
    ways: Ways, redis_client: redis.asyncio.Redis, line: str, summarised: bool
) -> None:
    """DRYRUN changes nothing, and tells what the same order without it then does; each option has its effect."""
    await assert_told_and_done(ways, redis_client, line, summarised=summarised)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
async def test_every_strategy_by_its_name(ways: Ways, redis_client: redis.asyncio.Redis, strategy: str) -> None:
    """Each strategy can be asked for, whatever the definition's: DRYRUN tells what it then does."""
    async with patient(ways[0]) as client:
        await fill(client)
        order = ("FORCE", "STRATEGY", strategy)
        planned = await flush(client, *order, "DRYRUN")
        done = await flush(client, *order, *WAIT)
    assert (planned.pop("status"), done["status"]) == ("would-flush", "done")
    assert planned["strategy"] == strategy
    assert {name: done[name] for name in planned} == planned
    left = await talk(redis_client)
    assert len(left) == done["messages"] == MESSAGES - done["removed"] < MESSAGES
    assert done["tokens"] + done["summary-tokens"] <= 1_000


async def test_what_is_not_due(ways: Ways, redis_client: redis.asyncio.Redis) -> None:
    """Below the threshold, or the target that is asked for, a memory is left alone."""
    await assert_left_alone(ways, redis_client)


async def test_a_second_order_joins(ways: Ways, redis_client: redis.asyncio.Redis) -> None:
    """At most one flush of a memory runs at a time, over two sidecars; further orders are about this one."""
    await assert_joined(ways, redis_client)


async def test_through_temporal(
    redis_url: str,
    redis_client: redis.asyncio.Redis,
    temporal_server: TemporalServer,
    sidecar_process: StartSidecar,
    worker_process: StartWorker,
    shared_definitions: Path,
) -> None:
    """All of this is the same where Temporal runs the flushes."""
    queue = {"MEMSIDECAR_TEMPORAL_TASK_QUEUE": "flush-command"}
    address = temporal_server.address
    sidecar = sidecar_process(
        redis_url=redis_url,
        engine="temporal",
        temporal_address=address,
        definitions=shared_definitions,
        settings=queue,
    )
    worker_process(redis_url=redis_url, temporal_address=address, definitions=shared_definitions, settings=queue)
    ways = sidecar.url, sidecar.url
    for line, summarised in ORDERS:
        await assert_told_and_done(ways, redis_client, line, summarised=summarised)
        await redis_client.flushall()
    await assert_left_alone(ways, redis_client)
    await redis_client.flushall()
    await assert_joined(ways, redis_client)


async def test_a_flush_that_fails(sidecars: Sequence[SidecarProcess], redis_client: redis.asyncio.Redis) -> None:
    """A flush from under which the memory is replaced is FLUSHFAILED to who waits for it, and the memory stays.

    Through Temporal it begins anew instead; see `tests/temporal/test_flush_on_redis`.
    """
    async with patient(sidecars[0].url) as client, patient(sidecars[1].url) as agent:
        await fill(client)
        turn = as_map(await run(agent, "MEMLOCK", KEY, "60000"))
        assert (await flush(client, "FORCE"))["status"] == "started"
        waiting = asyncio.ensure_future(flush(client, "FORCE", *WAIT))
        await run(agent, "MEMWRITE", KEY, "LOCK", turn["token"], "user", "something else")
        after = await talk(redis_client)
        await run(agent, "MEMUNLOCK", KEY, turn["token"])
        with pytest.raises(ResponseError, match=r"^FLUSHFAILED .* the memory is as it was"):
            await waiting
        assert await talk(redis_client) == after
        assert "flush_run" not in await meta(redis_client, "chat", "talk")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ("STRATEGY", "lifo"),
            "STRATEGY takes one of fifo, hybrid_summary, lru, priority, token_aware_lru, tool_trim, not 'lifo'",
        ),
        (("STRATEGY",), "STRATEGY"),
        (("TARGET", "many"), "TARGET"),
        (("TARGET", "-1"), "TARGET"),
        (("WAIT", "0"), "WAIT"),
        (("NOW",), "CONTEXT, STRATEGY, TARGET, FORCE, DRYRUN and WAIT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_it_does_not_take(
    sidecars: Sequence[SidecarProcess], options: tuple[str, ...], problem: str
) -> None:
    """What is wrong with an option is said in words, and nothing is started."""
    async with patient(sidecars[0].url) as client:
        await fill(client)
        with pytest.raises(ResponseError, match=problem):
            await flush(client, *options, "FORCE")
        assert as_map(await run(client, "MEMINFO", KEY))["flush"] == "none"
        assert as_map(await run(client, "MEMINFO", KEY))["messages"] == MESSAGES
