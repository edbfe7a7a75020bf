"""A driver like those of the peers, whose memory is a list on Redis and has the flaw that its arguments name.

`lose`, `double` and `swap` spoil every tenth append; `refuse` raises; `leave` ends the process; `chatter` prints;
`slow` takes longer than any window; `old` reads all but the newest message. `--asyncio` is awaited instead of blocking.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import redis

from benchmarks.peers.drivers.protocol import Place, Turn, serve, serve_asyncio

FLAWS = frozenset(sys.argv[1:])

SLOW_S = 0.1
"""Longer than the windows of the tests that use it."""


class Careless:
    """A `protocol.Memory`."""

    def __init__(self, place: Place) -> None:
        self._redis: Any = redis.Redis.from_url(place.url, decode_responses=True)
        self._key = place.memory
        self._appended = 0

    def append(self, role: str, text: str) -> object:
        if "refuse" in FLAWS:
            raise ValueError("the memory is full")
        if "leave" in FLAWS:
            print("the cable was pulled")
            sys.exit(3)
        if "chatter" in FLAWS:
            print("stored a message")
        if "slow" in FLAWS:
            time.sleep(SLOW_S)
        self._appended += 1
        spoiled = self._appended % 10 == 0
        if spoiled and "swap" in FLAWS:
            return self._redis.linsert(self._key, "BEFORE", self._redis.lindex(self._key, -1), text)
        copies = 1 if not spoiled else 0 if "lose" in FLAWS else 2 if "double" in FLAWS else 1
        return [self._redis.rpush(self._key, text) for _ in range(copies)]

    def extend(self, turns: list[Turn]) -> object:
        return self._redis.rpush(self._key, *(text for _, text in turns))

    def read(self) -> Any:
        return self._redis.lrange(self._key, 0, -2 if "old" in FLAWS else -1)

    def everything(self) -> Any:
        return self._redis.lrange(self._key, 0, -1)

    def text_of(self, message: Any) -> str:
        return str(message)


class AsyncCareless:
    """A `protocol.AsyncMemory`: the same memory."""

    def __init__(self, place: Place) -> None:
        self._memory = Careless(place)

    async def append(self, role: str, text: str) -> object:
        return self._memory.append(role, text)

    async def extend(self, turns: list[Turn]) -> object:
        return self._memory.extend(turns)

    async def read(self) -> Any:
        return self._memory.read()

    async def everything(self) -> Any:
        return self._memory.everything()

    def text_of(self, message: Any) -> str:
        return self._memory.text_of(message)


if __name__ == "__main__":
    if "--asyncio" in FLAWS:
        serve_asyncio(AsyncCareless)
    else:
        serve(Careless)
