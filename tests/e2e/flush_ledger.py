"""Writers that order flushes of what they fill, and a ledger of what they were told, compared with what is on Redis.

The counterpart of `ledger`, whose memories are never flushed. Each append has an IDEMPOTENT token and is repeated until
it is answered, so that at the end nothing is uncertain: what was appended is exactly what was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import redis.asyncio

from tests.e2e.agents import SPACE, as_map, run, text
from tests.e2e.ledger import Ways
from tests.support.waiting import eventually

FLUSH_WAIT_MS = 500
"""How long a writer waits for a flush before it goes on: it must not fill the memory without any bound."""

DEFINITION: dict[str, Any] = {
    "id": "small",
    "max_tokens": 600,
    "flush": {"strategy": "hybrid_summary", "summary_tokens": 60},
}
"""Under which some twenty messages make a flush due."""


class FlushLedger:
    """Writers, one for each memory.

    Args:
        urls: sidecars; who loses one goes to the next.
        instances: the memories.
        seconds: the longest that `flushes` waits.
    """

    def __init__(self, urls: Sequence[str], instances: Sequence[str], *, seconds: float = 60) -> None:
        self.acknowledged: dict[str, dict[str, str]] = {instance: {} for instance in instances}
        self.flushed: set[str] = set()  # ids of runs that were told to be done
        self._urls = urls
        self._seconds = seconds
        self._stopping = False
        self._tasks = [
            asyncio.create_task(self._write(number, instance), name="writer")
            for number, instance in enumerate(instances)
        ]

    async def flushes(self, more: int) -> None:
        """Wait until so many more flushes are done."""
        target = len(self.flushed) + more
        await self.until(lambda: len(self.flushed) >= target)

    async def appends(self, more: int) -> None:
        """Wait until so many more messages are acknowledged."""
        target = self._appended() + more
        await self.until(lambda: self._appended() >= target)

    def _appended(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def until(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """Wait for a condition while the writers write."""

        async def over() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()  # raises why
            met = condition()
            return met if isinstance(met, bool) else await met

        await eventually(over, limit_s=self._seconds, why="the flushes do not get on")

    async def running(self, client: redis.asyncio.Redis) -> None:
        """Wait until a flush is under way: it holds a lease."""

        async def one() -> bool:
            for instance in self.acknowledged:
                if await client.hexists(SPACE.keys("small", instance).meta, "flush_run"):
                    return True
            return False

        await self.until(one)

    async def stop(self) -> None:
        """Let every writer end with an answer; whatever it did not expect is raised here."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def assert_nothing_lost(self, client: redis.asyncio.Redis) -> None:
        """Compare with Redis.

        The log is what was acknowledged without its oldest messages, each under the id that was told; as many as are
        missing are named as flushed; the totals are those of the log.
        """
        for instance, acknowledged in self.acknowledged.items():
            keys = SPACE.keys("small", instance)
            async with client.pipeline(transaction=True) as both:
                both.xrange(keys.log)
                both.hgetall(keys.meta)
                entries, fields = await both.execute()
            meta = {name.decode(): value.decode() for name, value in fields.items()}
            stored = [(id_.decode(), said[b"c"].decode()) for id_, said in entries]
            flushed = int(meta.get("summary_messages", 0))
            assert stored == list(acknowledged.items())[flushed:]
            assert len(stored) + flushed == len(acknowledged)
            assert int(meta["messages"]) == len(stored)
            assert int(meta["tokens"]) == sum(int(said[b"n"]) for _, said in entries)
            assert ("summary" in meta) == (flushed > 0), "half a commit"
            assert ("flush_run" in meta) == ("flush_until" in meta)

    async def _write(self, writer: int, instance: str) -> None:
        key = f"small:{instance}"
        async with Ways(self._urls, writer) as ways:
            for number in count():
                if self._stopping:
                    return
                said = text(writer, number)
                words = ("MEMAPPEND", key, "IDEMPOTENT", f"{writer}/{number}", "user", said)
                told: dict[str, Any] | None = None
                while told is None:
                    told = await _maybe_answered(ways, *words)
                self.acknowledged[instance][told["last-id"]] = said
                if told["flush"] != "none":
                    done = await _maybe_answered(ways, "MEMFLUSH", key, "WAIT", str(FLUSH_WAIT_MS))
                    if done is not None and done["status"] == "done":
                        self.flushed.add(done["run-id"])


async def _maybe_answered(ways: Ways, *words: str) -> dict[str, Any] | None:
    """Return the answer; None where there was none, or one that says to come again."""
    try:
        return as_map(await run(ways.client, *words))
    except redis.exceptions.BusyLoadingError:  # a kind of ConnectionError to redis-py
        pass
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
        pass
    except redis.exceptions.ResponseError as problem:
        first_word = str(problem).split(" ", 1)[0]
        if first_word in ("FLUSHFAILED", "TIMEOUT"):
            return None  # the connection is well
        if first_word not in ("UNCERTAIN", "UNAVAILABLE", "LOADING"):
            raise
    await ways.change()
    return None
