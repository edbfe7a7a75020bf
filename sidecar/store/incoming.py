"""Memories on their way in: each is gathered aside, page by page, and becomes a memory in one step.

So nobody sees a part of one, an import that broke off goes on where it was, and one that is run again finds what it has
brought. The counterpart is `outgoing`; the scripts are those of a copy (`fork`), with another source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message
from sidecar.store.batch import NO_LIMIT, Weight
from sidecar.store.entries import to_number, to_text
from sidecar.store.outgoing import Summary
from sidecar.store.script_client import Argument, ScriptClient

PAGE_MESSAGES = 500
PAGE_BYTES = 1 << 20
"""Most of a page, unless one message is larger: a few milliseconds of Redis's time, in which it serves nobody else."""

GATHERED_MS = 24 * 3_600_000
"""How long what an import has gathered waits for it to go on: until tomorrow."""


class Arrival(NamedTuple):
    """A message that comes in. `id` is its id from now on; `weight` as in `store.batch`."""

    id: str
    message: Message
    weight: Weight
    pinned: bool


class Gathered(NamedTuple):
    """How far a memory has been gathered: messages, and the digest of them."""

    messages: int = 0
    digest: str = ""


class Present(NamedTuple):
    """What is at the target: whether it has a content, and the name of the import that brought it, or ""."""

    filled: bool
    made_by: str


class Incoming:
    """Writes memories.

    Args:
        redis: a client that answers bytes.

    Every method raises `UpstreamError` when Redis refuses or cannot be reached.
    """

    def __init__(self, redis: Redis) -> None:
        self._client = ScriptClient(redis)

    async def present(self, memory: Memory) -> Present:
        """Tell what is at the target now."""
        messages, summary, made_by = await self._client.command(
            "HMGET", memory.keys.meta, "messages", "summary", "forked_by"
        )
        return Present(to_number(messages or b"") > 0 or bool(summary), to_text(made_by))

    async def gathered(self, memory: Memory, name: str, encoding: str) -> Gathered:
        """Tell how far the import called `name` has come; what was counted with another encoding is dropped."""
        keys = _aside(memory, name)
        messages, digest, counted = await self._client.command("HMGET", keys[1], "messages", "digest", "encoding")
        if counted is not None and to_text(counted) != encoding:
            await self.drop(memory, name)
            return Gathered()
        return Gathered(to_number(messages or b""), to_text(digest))

    async def drop(self, memory: Memory, name: str) -> None:
        """Forget what was gathered."""
        await self._client.command("UNLINK", *_aside(memory, name))

    async def gather(
        self, memory: Memory, name: str, encoding: str, page: Sequence[Arrival], before: int, digest: str
    ) -> Gathered:
        """Add a page, which may be empty.

        Args:
            memory, name: where; see `gathered`.
            encoding: of the weights.
            page: at most about `PAGE_MESSAGES`, `PAGE_BYTES`; ids rise, also over those that were gathered before.
            before: messages that have been gathered.
            digest: of all of them and these.

        Returns:
            How far it is now: not `before` and these where somebody else gathers under this name.
        """
        arguments: list[Argument] = [before, digest, encoding, GATHERED_MS]
        for arrival in page:
            message = arrival.message
            arguments += (arrival.id, message.role, message.content, arrival.weight, message.fields)
            arguments.append(int(arrival.pinned))
        messages, there = await self._client.script("gather", _aside(memory, name), arguments)
        return Gathered(messages, to_text(there))

    async def commit(self, memory: Memory, name: str, summary: Summary | None, made_by: str) -> str:
        """Make a memory of what was gathered.

        Args:
            memory, name: which.
            summary: what it begins with.
            made_by: tells this content from every other; the same one is never stored twice.

        Returns:
            `done`; `not-empty`: something else is there; `stale-lock`: somebody holds the lock; `expired`: it is not
            all there. What was gathered is dropped, whatever comes back.
        """
        keys, definition = memory.keys, memory.definition
        aside = _aside(memory, name)
        if summary is not None:
            words: tuple[Argument, ...] = (
                *("summary", summary.text, "summary_tokens", summary.tokens, "summary_messages", summary.messages),
                # The next flush goes on from them where they are there.
                *(("summary_first", summary.first_id, "summary_last", summary.last_id) if summary.first_id else ()),
            )
            await self._client.command("HSET", aside[1], *words)
        limits = (definition.threshold_tokens, definition.threshold_messages)
        reply = await self._client.script(
            "fork_commit",
            (*aside, keys.meta, keys.log, keys.meta, keys.keep, keys.due, keys.lock),
            (
                "",
                keys.name,
                definition.ttl_ms or 0,
                *(NO_LIMIT if limit is None else limit for limit in limits),
                made_by,
            ),
        )
        return to_text(reply).split(" ")[0]


def _aside(memory: Memory, name: str) -> tuple[str, str, str]:
    """Return where log, meta and keep are gathered."""
    place = memory.keys.fork(name)
    return f"{place}:log", f"{place}:meta", f"{place}:keep"
