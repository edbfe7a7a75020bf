"""The memories of Compozy's Go engine, as its `engine/memory/store` writes them on Redis.

    compozy:<project>:memory:<key>            list, RPUSH: messages as JSON, {"role": "user", "content": "…"}
    compozy:<project>:memory:<key>:metadata   hash: token_count, message_count

Keys have no definition in them, so the caller names one. Only lists are read: the engine's counts are estimates, its
locks and marks mean nothing here. Its summary is a system message in front, "Summary of 12 messages: [user]: …"; it
becomes the memory's summary, because system messages are never removed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from redis.asyncio import Redis

from sidecar.memory.glob import matches
from sidecar.store.entries import to_text
from sidecar.store.outgoing import Summary
from sidecar.store.script_client import ScriptClient
from sidecar.transfer.problems import LineProblem, MemoryProblem
from sidecar.transfer.sources import Begin, End, Event, Place, Said

PAGE_MESSAGES = 100
"""Elements per LRANGE, which takes longer the farther it is from an end: 0.1 ms per 10,000 elements."""

SCAN_COUNT = 1_000

_SPECIAL = re.compile(r"([*?\[\]\\^])")
_SUMMARY = re.compile(r"Summary of (\d+) messages: \[")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def prefix_of(project: str) -> str:
    """Return what the keys of a project begin with."""
    return f"compozy:{project}:memory:"


class ListedMemories:
    """Reads them.

    Args:
        redis: a client that answers bytes.
        prefix: what their keys begin with.
        definition: to which the memories will belong.
    """

    def __init__(self, redis: Redis, *, prefix: str, definition: str) -> None:
        self._client = ScriptClient(redis)
        self._prefix = prefix
        self._definition = definition

    async def keys(self, patterns: list[bytes]) -> list[str]:
        """Return the memories, without the prefix, that one of the globs over `definition:key` fits, sorted."""
        found: set[str] = set()
        cursor = 0
        pattern = _SPECIAL.sub(r"\\\1", self._prefix) + "*"
        while True:
            words = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, "TYPE", "list")
            cursor, names = await self._client.command(*words)
            for name in names:
                key = to_text(name).removeprefix(self._prefix)
                if any(matches(each, f"{self._definition}:{key}".encode(), ignore_case=False) for each in patterns):
                    found.add(key)
            if not cursor:
                return sorted(found)

    async def events(self, keys: list[str]) -> AsyncIterator[Event]:
        """Yield memories.

        Raises:
            LineProblem: an element is no message.
            MemoryProblem: the list changed while it was read: the engine still runs.
            UpstreamError: Redis refused, or cannot be reached.
        """
        for key in keys:
            async for event in self._memory(key):
                yield event

    async def _memory(self, key: str) -> AsyncIterator[Event]:
        name = self._prefix + key
        size, first, _ = then = await self._state(name, -1)
        if not size:
            return  # it has expired since it was found
        summary = _summary(first)
        skipped = 0 if summary is None else 1
        yield Begin(Place(name, 1), f"{self._definition}:{key}", summary, size - skipped)
        for start in range(skipped, size, PAGE_MESSAGES):
            stop = min(start + PAGE_MESSAGES, size) - 1
            for number, element in enumerate(await self._client.command("LRANGE", name, start, stop), start + 1):
                try:
                    fields = _decode(element)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
                    raise LineProblem(name, number, f"it is no JSON object: {problem}") from problem
                yield Said(Place(name, number), fields)
        if await self._state(name, size - 1) != then:
            raise MemoryProblem(name, "the list changed while it was read; stop the engine that writes it, then go on")
        yield End(Place(name, size), size - skipped)

    async def _state(self, name: str, last: int) -> tuple[int, bytes, bytes]:
        """Return how long a list is, its first element, and the one at `last`."""
        size, first, newest = await self._client.commands([("LLEN", name), ("LINDEX", name, 0), ("LINDEX", name, last)])
        return int(size), first or b"", newest or b""


def _summary(element: bytes) -> Summary | None:
    """Return the engine's summary, if that is what the first element of a list is."""
    try:
        fields = _decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # told where it is read as a message
    content = fields.get("content")
    if fields.get("role") != "system" or not isinstance(content, str):
        return None
    found = _SUMMARY.match(content)
    return None if found is None else Summary(content, messages=int(found[1]))
