"""memsidecar from redis-py, used as the README shows: MEMAPPEND, and MEMREAD for messages that go into a request.

`--asyncio` takes redis-py's asyncio client instead of the blocking one. Each peer is compared with the client of its
own kind: their costs differ by more than many a memory's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable
from typing import Any

import redis
import redis.asyncio

from benchmarks.peers.drivers.protocol import Place, Turn, serve, serve_asyncio


class Memsidecar:
    """A `protocol.Memory`."""

    def __init__(self, place: Place) -> None:
        self._client: Any = redis.Redis.from_url(place.url, protocol=3, decode_responses=True)
        self._place = place

    def append(self, role: str, text: str) -> object:
        return self._client.execute_command("MEMAPPEND", self._place.memory, role, text)

    def extend(self, turns: list[Turn]) -> object:
        words = (word for turn in turns for word in turn)
        return self._client.execute_command("MEMAPPEND", self._place.memory, *words)

    def read(self) -> Any:
        budget = ("TOKENS", self._place.budget)
        return json.loads(self._client.execute_command("MEMREAD", self._place.memory, *budget, "FORMAT", "OPENAI"))

    def everything(self) -> Any:
        return json.loads(self._client.execute_command("MEMREAD", self._place.memory, "FORMAT", "OPENAI"))

    def text_of(self, message: Any) -> str:
        return str(message["content"])


class AsyncMemsidecar:
    """A `protocol.AsyncMemory`."""

    def __init__(self, place: Place) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(place.url, protocol=3, decode_responses=True)
        self._place = place

    def append(self, role: str, text: str) -> Awaitable[object]:
        reply: Awaitable[object] = self._client.execute_command("MEMAPPEND", self._place.memory, role, text)
        return reply

    def extend(self, turns: list[Turn]) -> Awaitable[object]:
        words = (word for turn in turns for word in turn)
        reply: Awaitable[object] = self._client.execute_command("MEMAPPEND", self._place.memory, *words)
        return reply

    async def read(self) -> Any:
        budget = ("TOKENS", self._place.budget)
        request = ("MEMREAD", self._place.memory, *budget, "FORMAT", "OPENAI")
        return json.loads(await self._client.execute_command(*request))

    async def everything(self) -> Any:
        return json.loads(await self._client.execute_command("MEMREAD", self._place.memory, "FORMAT", "OPENAI"))

    def text_of(self, message: Any) -> str:
        return str(message["content"])


if __name__ == "__main__":
    if "--asyncio" in sys.argv:
        serve_asyncio(AsyncMemsidecar)
    else:
        serve(Memsidecar)
