"""Agents take turns on a memory, over two sidecars: nobody gets between, nobody waits for one who has gone."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from sidecar.dev.servers import SidecarProcess
from tests.e2e.agents import SPACE, as_map, gauge, ghost, meta, patient, run, stored, text, vanish, waiting
from tests.support.waiting import eventually

Sidecars = tuple[SidecarProcess, ...]

AGENTS = 100

LONG_MS = "60000"
"""A lease or a wait that does not end by itself while a test runs."""

WAITING = ("MEMLOCK", "turn:shared", LONG_MS, "WAIT", LONG_MS)


async def lock(client: redis.asyncio.Redis, key: str, *options: str, ttl_ms: str = LONG_MS) -> dict[str, Any]:
    """Take or extend the lease."""
    return as_map(await run(client, "MEMLOCK", key, ttl_ms, *options))


async def in_line(sidecars: Sidecars, number: int) -> None:
    """Wait until so many wait for a lease, in all sidecars together."""

    async def are() -> bool:
        return sum([await waiting(sidecar) for sidecar in sidecars]) == number

    await eventually(are, limit_s=30, why=f"there are not {number} waiting")


async def test_a_hundred_agents_take_turns(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """Each waits for its turn, appends twice in it and lets go: nothing fails, no turn has another's message in it."""
    metrics = ("locks_acquired_total", "lock_wait_seconds_count", "locks_refused_total", "locks_lost_total")
    names = [f"memsidecar_{name}" for name in metrics]
    before = [sum([await gauge(sidecar, name) for sidecar in sidecars]) for name in names]
    turns: list[dict[str, Any]] = []

    async def take_turn(client: redis.asyncio.Redis, agent: int) -> None:
        granted = await lock(client, "turn:shared", "WAIT", LONG_MS)
        turns.append(granted)  # in the order of the turns: until it lets go, nobody else is answered
        for number in range(2):
            await run(client, "MEMAPPEND", "turn:shared", "LOCK", granted["token"], "user", text(agent, number))
        assert await run(client, "MEMUNLOCK", "turn:shared", granted["token"]) == 1

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(patient(sidecars[agent % len(sidecars)].url)) for agent in range(AGENTS)
        ]
        holder = await stack.enter_async_context(patient(sidecars[0].url))
        first = await lock(holder, "turn:shared")
        agents = [asyncio.create_task(take_turn(client, agent)) for agent, client in enumerate(clients)]
        await in_line(sidecars, AGENTS)
        await run(holder, "MEMUNLOCK", "turn:shared", first["token"])
        await asyncio.gather(*agents)

    fences = [first["fence"], *(turn["fence"] for turn in turns)]
    assert fences == sorted(set(fences))
    assert len({turn["token"] for turn in turns}) == len(turns) == AGENTS
    assert all(turn["waited-ms"] > 0 for turn in turns)
    assert first["waited-ms"] == 0
    contents = [entry.content for entry in await stored(redis_client, "turn", "shared")]
    assert len(contents) == 2 * AGENTS
    authors = [content.split(" ")[0].split("-") for content in contents]
    for (one, none), (other, first_of_it) in zip(authors[::2], authors[1::2], strict=True):
        assert (one, none, first_of_it) == (other, "0", "1")
    after = [sum([await gauge(sidecar, name) for sidecar in sidecars]) for name in names]
    assert [now - then for then, now in zip(before, after, strict=True)] == [AGENTS + 1, AGENTS, 0, 0]


async def test_who_has_no_token_waits(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """Appends without the token wait, in both sidecars and in order, until the holder lets go; the holder does not."""
    async with AsyncExitStack() as stack:
        holder, *others = [await stack.enter_async_context(patient(sidecars[number % 2].url)) for number in range(5)]
        granted = await lock(holder, "turn:shared")
        appends = []
        for number, other in enumerate(others):
            appends.append(asyncio.ensure_future(run(other, "MEMAPPEND", "turn:shared", "user", f"late {number}")))
            await in_line(sidecars, number + 1)
        await run(holder, "MEMAPPEND", "turn:shared", "LOCK", granted["token"], "user", "in my turn")
        assert not any(append.done() for append in appends)
        await run(holder, "MEMUNLOCK", "turn:shared", granted["token"])
        replies = [as_map(reply) for reply in await asyncio.gather(*appends)]
    entries = await stored(redis_client, "turn", "shared")
    assert entries[0].content == "in my turn"
    assert {entry.id for entry in entries[1:]} == {reply["last-id"] for reply in replies}
    for sidecar in range(2):  # those of one sidecar in the order in which they came
        late = [entry.content for entry in entries if entry.content in (f"late {sidecar}", f"late {sidecar + 2}")]
        assert late == [f"late {sidecar}", f"late {sidecar + 2}"]


@pytest.mark.parametrize(
    "command",
    [
        ("MEMAPPEND", "user", "no"),
        ("MEMWRITE", "user", "no"),
        ("MEMCLEAR",),
        ("MEMDEL", "{id}"),
        ("MEMLOCK", LONG_MS, "WAIT", "50"),
        ("MEMLOCK", LONG_MS),
    ],
    ids=" ".join,
)
async def test_who_waited_long_enough_is_refused(
    sidecars: Sidecars, redis_client: redis.asyncio.Redis, command: tuple[str, ...]
) -> None:
    """After the wait of definition or command it is LOCKED, with the time that is left; nothing has changed."""
    async with patient(sidecars[0].url) as holder, patient(sidecars[1].url) as other:
        first = as_map(await run(holder, "MEMAPPEND", "hasty:m", "user", "before"))
        granted = await lock(holder, "hasty:m")
        refused = await gauge(sidecars[1], "memsidecar_locks_refused_total")
        name, *arguments = (word.format(id=first["last-id"]) for word in command)
        with pytest.raises(ResponseError, match=r"^LOCKED .* for \d+ ms more") as problem:
            await run(other, name, "hasty:m", *arguments)
        told_ms = int(re.findall(r"for (\d+) ms more", str(problem.value))[0])
        assert await redis_client.pttl(SPACE.keys("hasty", "m").lock) <= told_ms <= int(LONG_MS)
        assert await gauge(sidecars[1], "memsidecar_locks_refused_total") == refused + 1
        assert [entry.content for entry in await stored(redis_client, "hasty", "m")] == ["before"]
        arguments = arguments if name != "MEMLOCK" else [LONG_MS, "RENEW", granted["token"]]
        token = [] if name == "MEMLOCK" else ["LOCK", granted["token"]]
        await run(holder, name, "hasty:m", *token, *arguments)


async def test_a_token_that_holds_no_longer(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """Once a lease has run out its token is good for nothing, whether or not somebody else holds the memory by then."""
    lost = await gauge(sidecars[0], "memsidecar_locks_lost_total")
    async with patient(sidecars[0].url) as slow, patient(sidecars[1].url) as next_one:
        old = await lock(slow, "turn:shared", ttl_ms="100")
        new = await lock(next_one, "turn:shared", "WAIT", LONG_MS)  # is told by nobody, and gets it all the same
        assert new["fence"] > old["fence"]
        for _ in range(2):
            for command in (
                ("MEMAPPEND", "turn:shared", "LOCK", old["token"], "user", "too late"),
                ("MEMWRITE", "turn:shared", "LOCK", old["token"], "user", "too late"),
                ("MEMCLEAR", "turn:shared", "LOCK", old["token"]),
                ("MEMDEL", "turn:shared", "LOCK", old["token"], "1-1"),
                ("MEMLOCK", "turn:shared", LONG_MS, "RENEW", old["token"]),
            ):
                with pytest.raises(ResponseError, match=r"^STALELOCK "):
                    await run(slow, *command)
            assert await run(slow, "MEMUNLOCK", "turn:shared", old["token"]) == 0
            # The second time nobody holds it.
            await run(next_one, "MEMUNLOCK", "turn:shared", new["token"])
    assert await stored(redis_client, "turn", "shared") == []
    assert await gauge(sidecars[0], "memsidecar_locks_lost_total") == lost + 2 * 5


async def test_a_turn_that_takes_longer(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """RENEW, at any sidecar, lets the same lease last on; nobody else can."""
    async with patient(sidecars[0].url) as client, patient(sidecars[1].url) as elsewhere:
        granted = await lock(client, "turn:shared", ttl_ms="5000")
        renewed = await lock(elsewhere, "turn:shared", "RENEW", granted["token"])
        assert renewed == {**granted, "ttl-ms": int(LONG_MS)}
        assert await redis_client.pttl(SPACE.keys("turn", "shared").lock) > 5_000
        with pytest.raises(ResponseError, match=r"^STALELOCK "):
            await lock(elsewhere, "turn:shared", "RENEW", "somebody")
        assert as_map(await run(client, "MEMINFO", "turn:shared"))["locked"]
        assert await run(elsewhere, "MEMUNLOCK", "turn:shared", granted["token"]) == 1
        assert not as_map(await run(client, "MEMINFO", "turn:shared"))["locked"]


async def test_who_has_gone_waits_no_longer(sidecars: Sidecars) -> None:
    """Clients that vanish while they wait leave the line: the next one gets the lease, and none is held by a ghost."""
    async with patient(sidecars[0].url) as holder, patient(sidecars[1].url) as last:
        granted = await lock(holder, "turn:shared")
        ghosts = [await ghost(sidecars[number % 2], *WAITING) for number in range(10)]
        await in_line(sidecars, 10)
        for number, each in enumerate(ghosts):
            vanish(each, reset=number % 4 < 2)
        await in_line(sidecars, 0)
        await run(holder, "MEMUNLOCK", "turn:shared", granted["token"])
        assert not as_map(await run(holder, "MEMINFO", "turn:shared"))["locked"]
        await lock(last, "turn:shared")


@pytest.mark.parametrize("reset", [False, True])
async def test_who_goes_right_before_the_turn(sidecars: Sidecars, reset: bool) -> None:
    """A client that vanishes right before the lease is passed on to it does not take it along."""
    async with patient(sidecars[0].url) as holder:
        for _ in range(20):
            granted = await lock(holder, "turn:shared", "WAIT", LONG_MS)
            waits = await ghost(sidecars[0], *WAITING)
            await in_line(sidecars[:1], 1)
            vanish(waits, reset=reset)
            await run(holder, "MEMUNLOCK", "turn:shared", granted["token"])


async def test_no_flush_within_a_turn(sidecars: Sidecars, redis_client: redis.asyncio.Redis) -> None:
    """A flush that is asked for during a turn changes nothing until the turn is over, and then all that it planned."""
    async with patient(sidecars[0].url) as agent, patient(sidecars[1].url) as operator:
        await run(agent, "MEMAPPEND", "turn:shared", *(word for n in range(20) for word in ("user", text(1, n))))
        before = [entry.id for entry in await stored(redis_client, "turn", "shared")]
        granted = await lock(agent, "turn:shared")
        flush = asyncio.ensure_future(run(operator, "MEMFLUSH", "turn:shared", "FORCE", "WAIT", LONG_MS))
        await eventually(lambda: staged(redis_client), why="the flush does not get as far as its commit")
        await run(agent, "MEMAPPEND", "turn:shared", "LOCK", granted["token"], "assistant", "in my turn")
        during = as_map(await run(agent, "MEMREAD", "turn:shared"))
        assert [as_map(message)["id"] for message in during["messages"]][:-1] == before
        assert during["summary"] is None
        with pytest.raises(ResponseError, match=r"^TIMEOUT "):
            await run(agent, "MEMFLUSH", "turn:shared", "FORCE", "WAIT", "50")
        await run(agent, "MEMUNLOCK", "turn:shared", granted["token"])
        report = as_map(await flush)
    assert report["status"] == "done"
    after = await stored(redis_client, "turn", "shared")
    assert [entry.id for entry in after][:-1] == before[report["removed"] :]
    assert after[-1].content == "in my turn"
    assert (await meta(redis_client, "turn", "shared"))["summary"]


async def staged(client: redis.asyncio.Redis) -> bool:
    """Whether the summary of a flush is ready, so that only its commit is left."""
    return bool(await client.hexists(SPACE.keys("turn", "shared").work, "summary"))
