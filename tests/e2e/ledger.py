"""Writers that keep a ledger of what they sent and were told, and its comparison with what lies on Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any

import redis.asyncio

from tests.e2e.agents import as_map, meta, patient, recount, run, stored
from tests.support.waiting import eventually

BACKOFF_S = 0.01
"""Between two tries of a client, as every client has one: what is away takes longer than that to come back."""

NOTHING_STORED = ("UNAVAILABLE", "LOADING")
"""First words of refusals which say that nothing was stored."""


@dataclass
class Line:
    """One append: its contents, in order, and what became of it."""

    instance: str
    contents: list[str]
    token: str | None
    told: dict[str, Any] | None = None
    refused: bool = False  # for certain: nothing may be stored
    tries: int = 0


class Ways:
    """One client's connection, to one sidecar after the other. Nothing is sent again behind its back."""

    def __init__(self, urls: Sequence[str], first: int) -> None:
        self._urls = cycle(urls)
        for _ in range(first % len(urls)):
            next(self._urls)

    async def __aenter__(self) -> Ways:
        self.client = patient(next(self._urls))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def change(self) -> None:
        """Go on with the next sidecar."""
        await self.client.aclose()
        await asyncio.sleep(BACKOFF_S)
        self.client = patient(next(self._urls))


class Ledger:
    """Writers, each with a connection of its own, that append one after the other until they are told to stop.

    Every second one sends an IDEMPOTENT token, and repeats an append until it is answered. The others try once.

    Args:
        urls: sidecars; who loses one goes to the next.
        definition: of the memories.
        instances: what they write to, in turn, so that several share one memory.
        writers: how many.
    """

    def __init__(self, urls: Sequence[str], definition: str, instances: Sequence[str], *, writers: int) -> None:
        self.lines: list[Line] = []
        self.repetitions = 0  # answered with what an earlier try had stored
        self._urls = urls
        self._definition = definition
        self._instances = instances
        self._acknowledged = 0
        self._stopping = False
        self._tasks = [asyncio.create_task(self._write(writer), name="writer") for writer in range(writers)]

    async def progress(self, appends: int) -> None:
        """Wait until so many more appends have been acknowledged."""
        target = self._acknowledged + appends
        await self.until(lambda: self._acknowledged >= target)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition while the writers write."""

        def over() -> bool:
            return condition() or any(task.done() for task in self._tasks)

        await eventually(over, limit_s=60, why="the writers do not get on")
        for task in self._tasks:
            if task.done():
                task.result()  # raises why

    async def stop(self) -> None:
        """Let every writer end, those with tokens with an answer; whatever it did not expect is raised here."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _write(self, writer: int) -> None:
        instance = self._instances[writer // 2 % len(self._instances)]
        async with Ways(self._urls, writer) as ways:
            for number in count():
                if self._stopping:
                    return
                contents = [f"w{writer}-{number} part {part} of it" for part in range(1 + number % 3)]
                line = Line(instance, contents, f"{writer}/{number}" if writer % 2 else None)
                self.lines.append(line)
                await self._try(ways, line)
                while line.told is None and line.token is not None:
                    await self._try(ways, line)

    async def _try(self, ways: Ways, line: Line) -> None:
        line.tries += 1
        words = [word for content in line.contents for word in ("user", content)]
        token = [] if line.token is None else ["IDEMPOTENT", line.token]
        try:
            line.told = as_map(
                await run(ways.client, "MEMAPPEND", f"{self._definition}:{line.instance}", *token, *words)
            )
        except redis.exceptions.BusyLoadingError:  # a kind of ConnectionError to redis-py
            line.refused = line.tries == 1
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError):
            pass
        except redis.exceptions.ResponseError as problem:
            first_word = str(problem).split(" ", 1)[0]
            if first_word != "UNCERTAIN" and first_word not in NOTHING_STORED:
                raise
            line.refused = first_word in NOTHING_STORED and line.tries == 1
        else:
            self._acknowledged += 1
            self.repetitions += line.told["duplicate"]
            return
        await ways.change()

    @property
    def unanswered(self) -> int:
        """Appends of which nobody was told what became of them."""
        return sum(line.told is None for line in self.lines)

    async def assert_exactly_once(self, client: redis.asyncio.Redis) -> None:
        """Compare with Redis.

        What was acknowledged is there once, under the ids that were told; what was not is there at most once, and whole
        or not at all; what was refused for certain is not; nothing else is there, and the totals are right.
        """
        for instance in self._instances:
            entries = await stored(client, self._definition, instance)
            lines = [line for line in self.lines if line.instance == instance]
            times = Counter(entry.content for entry in entries)
            ids = {entry.content: entry.id for entry in entries}
            sent = {content for line in lines for content in line.contents}
            assert times.keys() <= sent
            assert set(times.values()) == {1}, [content for content, found in times.items() if found > 1]
            for line in lines:
                there = [content for content in line.contents if content in ids]
                assert there in ([], line.contents), "an append was stored in part"
                if line.told is not None:
                    assert there, f"an acknowledged append is missing: {line}"
                    assert (ids[there[0]], ids[there[-1]]) == (line.told["first-id"], line.told["last-id"])
                assert not (line.refused and line.told is None and there), f"a refused append is there: {line}"
            totals = await meta(client, self._definition, instance)
            assert int(totals["messages"]) == len(entries)
            assert int(totals["tokens"]) == sum(entry.tokens for entry in entries) == recount(entries)
            self._assert_in_order([entry.content for entry in entries])

    @staticmethod
    def _assert_in_order(contents: Sequence[str]) -> None:
        """Each writer's messages lie in the order in which it sent them."""
        latest: dict[str, int] = {}
        for content in contents:
            writer, number = content.split(" ", 1)[0].split("-")
            assert int(number) >= latest.get(writer, 0), f"{content} comes too late"
            latest[writer] = int(number)
