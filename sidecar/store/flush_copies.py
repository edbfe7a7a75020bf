"""Copies that a flush, or its undo, makes on Redis beside the memory: piece by piece, so that no piece holds Redis up.

The counterparts are `flush.removal` and `flush.undo`, which say what is copied where. A copy changes nothing of the
memory; the commit that follows does, and checks what was copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from redis.asyncio import Redis

from sidecar.errors import FlushRefused
from sidecar.memory.keys import KeySpace
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.entries import to_message
from sidecar.store.lease import WORK_TTL_MS, Lease
from sidecar.store.script_client import Argument, ScriptClient

PIECE = 100
"""Entries per script: 0.2 to 0.4 ms of Redis's one thread, as a page of facts."""

PIECE_BYTES = 1 << 20
"""Bytes of entries after which a piece ends early: large ones must not hold Redis up."""

PIECE_SPANS = 250
"""Spans per script: each is a command of its own, even where nothing is found."""

FORMS = 100
"""Messages that are read, shortened and written at a time."""


class Stream(IntEnum):
    """The streams of a memory, by their number among `KEYS` of the copy script."""

    ASIDE = 3
    BRIEF = 4
    NEXT = 5
    LOG = 6
    UNDO = 7


class Span(NamedTuple):
    """A piece of a stream from `first` to `last`, as XRANGE takes them: "(" before an id excludes it.

    `only_there`: only entries whose ids are in the log, too.
    """

    source: Stream
    first: str
    last: str
    only_there: bool = False


class FlushCopies:
    """The copies of the flushes on one Redis.

    Every method raises `FlushRefused` where the run is no longer the memory's, and `RedisRefused`, `Unavailable` or
    `Uncertain`.

    Args:
        redis: a client that answers bytes.
        space: where this deployment keeps its memories.
    """

    def __init__(self, redis: Redis, space: KeySpace) -> None:
        self._client = ScriptClient(redis)
        self._space = space

    async def copy(self, lease: Lease, into: Stream, spans: Sequence[Span], *, anew: bool = True) -> int:
        """Copy spans, in the order of their ids, to a stream of the run. O(entries), `PIECE` per call.

        Args:
            lease: of the run.
            into: where to.
            spans: what.
            anew: begin with an empty stream; otherwise add to what is there.

        Returns:
            The tokens of the entries.
        """
        rest, tokens, at = list(spans), 0, 0
        while at < len(rest):
            piece = rest[at : at + PIECE_SPANS]
            done, position, weight = await self._piece(lease, into, piece, anew=anew)
            tokens, anew, at = tokens + weight, False, at + done
            if position:
                rest[at] = rest[at]._replace(first=f"({position}")
        return tokens

    async def _piece(self, lease: Lease, into: Stream, spans: Sequence[Span], *, anew: bool) -> tuple[int, str, int]:
        arguments: list[Argument] = [*self._proof(lease), int(into), PIECE, PIECE_BYTES, int(anew)]
        for span in spans:
            arguments += [-span.source if span.only_there else int(span.source), span.first, span.last]
        code, *found = await self._client.script("copy", self._keys(lease), arguments)
        if code != b"copied":
            raise FlushRefused(code.decode())
        done, position, tokens = found
        return int(done), position.decode(), int(tokens)

    async def newest(self, lease: Lease, stream: Stream) -> str:
        """Return the last id of a stream, "" if it is empty. O(1)."""
        entries = await self._client.command("XREVRANGE", self._keys(lease)[stream - 1], "+", "-", "COUNT", 1)
        return entries[0][0].decode() if entries else ""

    async def originals(self, lease: Lease, ids: Sequence[str]) -> list[StoredMessage]:
        """Return the messages with these ids, at most `FORMS`, without those that are not there."""
        log = self._keys(lease)[Stream.LOG - 1]
        found = await self._client.commands([("XRANGE", log, id_, id_) for id_ in ids])
        return [to_message(entries[0][0].decode(), entries[0][1]) for entries in found if entries]

    async def shorten(self, lease: Lease, forms: Sequence[StoredMessage], *, anew: bool) -> None:
        """Lay shortened forms of messages aside, at most `FORMS`, in the order of their ids.

        Args:
            lease: of the run.
            forms: id, content, tokens and fields count; the rest is that of the message in the log.
            anew: begin with an empty stream.
        """
        arguments: list[Argument] = [*self._proof(lease), int(anew)]
        for form in forms:
            arguments += [form.id, form.content, form.tokens, form.fields or ""]
        code = await self._client.script("shorten", self._keys(lease)[:6], arguments)
        if code != b"shortened":
            raise FlushRefused(code.decode())

    @staticmethod
    def _proof(lease: Lease) -> list[Argument]:
        """The fence, and how long each piece keeps the run alive."""
        return [*lease.proof, lease.lease_ms, WORK_TTL_MS]

    def _keys(self, lease: Lease) -> list[str]:
        keys = self._space.keys(lease.definition, lease.instance)
        return [keys.meta, keys.work, keys.aside, keys.brief, keys.next, keys.log, keys.undo]
