"""Memories on their way out: which there are, and each of them page by page, as they lie on Redis.

The counterpart is `incoming`. Nothing is changed here, no life is extended, and the rights to read are enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from redis.asyncio import Redis

from sidecar.memory.glob import matches
from sidecar.memory.keys import KeySpace, MemoryKeys
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.entries import to_message, to_number, to_text
from sidecar.store.script_client import ScriptClient
from sidecar.store.walk import log_pattern

PAGE_MESSAGES = 100
"""Messages per read, as in a flush: Redis holds one page in its output buffer, 3.3 MB at 32 KiB a message."""

SCAN_COUNT = 1_000
"""Keys that one step of the search for memories looks at."""

_FIELDS = (
    "epoch", "fence", "last_run", "encoding", "messages", "tokens",
    "summary", "summary_tokens", "summary_first", "summary_last", "summary_messages",
)  # fmt: skip


class Summary(NamedTuple):
    """What stands for the messages that flushes took: how many, and the first and last id of them (both "" where
    that is not known)."""

    text: str
    tokens: int = 0
    messages: int = 0
    first_id: str = ""
    last_id: str = ""


class Snapshot(NamedTuple):
    """A memory at a moment.

    Args:
        moment: epoch, fence and last run: a later snapshot with the same one differs by appends and pins alone.
        encoding: what its counts were made with.
        messages, tokens: totals, without the summary.
        summary: or None.
        last_id: the newest message, "" if there is none.
    """

    moment: tuple[str, str, str]
    encoding: str
    messages: int
    tokens: int
    summary: Summary | None
    last_id: str


class Entry(NamedTuple):
    """A message, its class in the definition's priority blocks or "", and whether every budgeted read contains it."""

    message: StoredMessage
    kind: str
    kept: bool


class Outgoing:
    """Reads memories of one project.

    Args:
        redis: a client that answers bytes.
        space: where the memories are.

    Every method raises `UpstreamError` when Redis refuses or cannot be reached.
    """

    def __init__(self, redis: Redis, space: KeySpace) -> None:
        self._client = ScriptClient(redis)
        self._space = space

    async def names(self, patterns: list[bytes]) -> list[tuple[str, str]]:
        """Return definition and instance of the memories that one of the globs over `definition:instance` fits.

        They are sorted, so that two exports can be compared. Takes memory for the names of all of them.
        """
        found: set[tuple[str, str]] = set()
        cursor = 0
        while True:
            words = ("SCAN", cursor, "MATCH", log_pattern(self._space), "COUNT", SCAN_COUNT, "TYPE", "stream")
            cursor, keys = await self._client.command(*words)
            for key in keys:
                try:
                    definition, instance = self._space.parse(to_text(key).partition("}:")[2])
                except ValueError:  # a key that somebody named like one of ours
                    continue
                shown = f"{definition}:{instance}".encode()
                if any(matches(pattern, shown, ignore_case=False) for pattern in patterns):
                    found.add((definition, instance))
            if not cursor:
                return sorted(found)

    async def snapshot(self, keys: MemoryKeys) -> Snapshot | None:
        """Return a memory as it is now, None if there is none (any more)."""
        values, newest = await self._client.commands(
            [("HMGET", keys.meta, *_FIELDS), ("XREVRANGE", keys.log, "+", "-", "COUNT", 1)]
        )
        epoch, fence, run, encoding, messages, tokens, text, *summary = values
        if epoch is None:
            return None
        weight, first, last, count = summary
        return Snapshot(
            moment=(to_text(epoch), to_text(fence), to_text(run)),
            encoding=to_text(encoding),
            messages=to_number(messages or b""),
            tokens=to_number(tokens or b""),
            summary=Summary(
                to_text(text), to_number(weight or b""), to_number(count or b""), to_text(first), to_text(last)
            )
            if text
            else None,
            last_id=to_text(newest[0][0]) if newest else "",
        )

    async def pages(self, keys: MemoryKeys, last_id: str) -> AsyncIterator[list[Entry]]:
        """Yield the messages up to and with `last_id`, oldest first."""
        start = "-"
        while last_id:
            found = await self._client.command("XRANGE", keys.log, start, last_id, "COUNT", PAGE_MESSAGES)
            if not found:
                return
            scores = await self._client.command("ZMSCORE", keys.keep, *(id_ for id_, _ in found))
            page = []
            for (id_, fields), score in zip(found, scores, strict=True):
                page.append(Entry(to_message(to_text(id_), fields), to_text(fields.get(b"k")), score is not None))
            yield page
            if len(found) < PAGE_MESSAGES:
                return
            start = f"({page[-1].message.id}"
