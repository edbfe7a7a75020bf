"""The outbox: which memories wait for a flush, over all shards.

The append script writes the marks and the flush scripts take them out; this module reads them, and takes those out
whose memories are gone. Its users are `sidecar.flush.sweeper`, which looks at all of them, and
`sidecar.flush.dispatcher`, which asks for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from sidecar.memory.keys import SHARDS, KeySpace, MemoryKeys
from sidecar.store import scripts
from sidecar.store.redis_errors import translated

STEP = 32
"""Shards per pipeline: the event loop stands still for 0.4 ms, 1.4 ms where all of them hold marks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One memory that waits: its `MemoryKeys.name`, and since when by Redis's clock, in ms."""

    name: str
    since_ms: float


@dataclass(frozen=True, slots=True)
class OutboxView:
    """What one look at all shards found.

    Args:
        now_ms: time of the look by Redis's clock.
        depth: marks in all shards.
        oldest_ms: when the oldest of them was set; None if there is none.
        pages: for each shard the marks that were asked for, oldest first.
        spoilt: the outboxes that somebody put something else in the place of; nothing in them can be read.
    """

    now_ms: int
    depth: int
    oldest_ms: float | None
    pages: list[list[Mark]]
    spoilt: tuple[str, ...] = ()


class Outbox:
    """The outbox of one project.

    Args:
        redis: a client that answers bytes (`decode_responses=False`).
        space: where this deployment keeps its memories.
    """

    def __init__(self, redis: Redis, space: KeySpace) -> None:
        self._redis = redis
        self._space = space
        self._keys = [space.outbox(shard) for shard in range(SHARDS)]

    async def look(self, offsets: Sequence[int], count: int) -> OutboxView:
        """Read a page of every shard.

        `STEP` shards at a time: one round trip each, and a second one where marks were found. All 256 in one
        pipeline take redis-py 23 ms, in which the event loop would serve no client. A key of another type than an
        outbox has hides the marks of its own shard only.

        Args:
            offsets: for each shard, how many of its oldest marks to pass over.
            count: most marks of a page.

        Raises:
            RedisRefused, Unavailable, Uncertain: see `redis_errors`.
        """
        with translated():
            seconds, micros = await self._redis.time()
            depth, oldest = 0, inf
            pages: list[list[Mark]] = [[] for _ in self._keys]
            spoilt: list[str] = []
            for start in range(0, SHARDS, STEP):
                depths = await self._depths(start)
                depth += sum(marks or 0 for marks in depths)
                spoilt += [self._keys[start + at] for at, marks in enumerate(depths) if marks is None]
                waiting = [start + at for at, marks in enumerate(depths) if marks]
                if waiting:
                    for shard, (first, page) in zip(waiting, await self._pages(waiting, offsets, count), strict=True):
                        pages[shard] = page
                        oldest = min(oldest, first)
        return OutboxView(
            now_ms=int(seconds) * 1000 + int(micros) // 1000,
            depth=depth,
            oldest_ms=None if oldest == inf else oldest,
            pages=pages,
            spoilt=tuple(spoilt),
        )

    async def _depths(self, start: int) -> list[int | None]:
        """Return the marks of each of `STEP` shards; None for a key of another type."""
        # No transactions here: the shards lie on different nodes of a cluster, and nothing must be atomic.
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in self._keys[start : start + STEP]:
                pipe.zcard(key)
            return [_depth(reply) for reply in await pipe.execute(raise_on_error=False)]

    async def _pages(self, shards: Sequence[int], offsets: Sequence[int], count: int) -> list[tuple[float, list[Mark]]]:
        """Return for each of the shards when its oldest mark was set, and the page."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for shard in shards:
                pipe.zrange(self._keys[shard], 0, 0, withscores=True)
                pipe.zrange(self._keys[shard], offsets[shard], offsets[shard] + count - 1, withscores=True)
            replies = await pipe.execute()
        return [
            # A mark may have been served since the depth was read.
            (
                float(first[0][1]) if first else inf,
                [Mark(name.decode(errors="replace"), float(since)) for name, since in page],
            )
            for first, page in zip(replies[0::2], replies[1::2], strict=True)
        ]

    async def is_marked(self, definition: str, instance: str) -> bool:
        """Tell whether a memory waits for a flush.

        Raises:
            RedisRefused, Unavailable, Uncertain: see `redis_errors`.
        """
        keys = self._space.keys(definition, instance)
        with translated():
            score: Any = await self._redis.zscore(keys.due, keys.name)
        return score is not None

    async def purge(self, names: Iterable[str]) -> frozenset[str]:
        """Take out the marks of memories that are gone: expired, as a cleared one has left the outbox already.

        Args:
            names: of the memories (`Mark.name`). The marks of those that are there stay.

        Returns:
            The names whose marks were taken out.

        Raises:
            RedisRefused, Unavailable, Uncertain: see `redis_errors`.
            ValueError: a name is none of this project's.
        """
        by_shard: dict[str, list[MemoryKeys]] = defaultdict(list)
        for name in names:
            keys = self._space.keys(*self._space.parse(name))
            by_shard[keys.due].append(keys)
        gone: set[str] = set()
        # As EVAL, because it is rare and short.
        source = scripts.load("purge").source
        for due, memories in by_shard.items():
            keys_of = [due, *(keys.meta for keys in memories)]
            with translated():
                reply: Any = await self._redis.eval(source, len(keys_of), *keys_of, *(keys.name for keys in memories))
            gone.update(name.decode() for name in reply)
        return frozenset(gone)


def _depth(reply: Any) -> int | None:
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        return None
    if isinstance(reply, Exception):
        raise reply
    return int(reply)
