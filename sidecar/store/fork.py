"""Copies a memory: page by page to a place aside, then in one step to its target, under the target's lease.

The source may grow meanwhile; what came after the snapshot is not part of the copy. When it loses messages, or is
replaced, the copy begins anew. One that breaks off leaves nothing behind: what it has gathered expires.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from sidecar.errors import NotEmpty, SourceMoved, StaleLock
from sidecar.memory.addressing import Memory
from sidecar.memory.requests import ForkRequest
from sidecar.memory.results import AppendResult
from sidecar.store.batch import NO_LIMIT
from sidecar.store.changes import as_error
from sidecar.store.locks import LockManager
from sidecar.store.pipe import Argument, Pipe, Reply

LEASE_MS = 10_000
"""Lease on the target, renewed while the copy goes on: many pages long."""

PAGE_MESSAGES = 500
PAGE_BYTES = 1 << 20
"""A page is a few milliseconds of Redis's time, in which it serves nobody else."""

GATHERED_MS = 60_000
"""How long what was gathered outlives the last page."""

MAX_TRIES = 5
"""Snapshots that are taken of a source that keeps losing messages: flushes are minutes apart."""


class Forks:
    """Copies with the rights of one user.

    Args:
        pipe: where scripts go.
        locks: leases with the same rights.
    """

    def __init__(self, pipe: Pipe, locks: LockManager) -> None:
        self._pipe = pipe
        self._locks = locks

    async def fork(self, request: ForkRequest) -> AppendResult:
        """Copy a memory up to an id. O(messages). A source that has nothing to copy leaves the target empty.

        Raises:
            NotEmpty: the target has a content.
            Locked: somebody else holds the lease of the target.
            SourceMoved: the source lost messages during each of `MAX_TRIES` copies.
            UpstreamError: Redis refused, or cannot be reached.
        """
        target = request.memory
        async with self._locks.hold(target, lease_ms=LEASE_MS, wait_ms=target.definition.locking.wait_ms) as lease:
            for _ in range(MAX_TRIES):
                run = secrets.token_hex(8)
                if not await self._gather(request, run):
                    return AppendResult(None, None, 0, 0, 0, "none")
                words = await self._commit(request, run, lease.token)
                if words[0] == "done":
                    return _result(words)
                if words[0] == "not-empty":
                    raise NotEmpty
                if words[0] == "stale-lock":
                    raise StaleLock
        raise SourceMoved(MAX_TRIES)

    async def _gather(self, request: ForkRequest, run: str) -> bool:
        """Copy all pages aside; False if there is nothing to copy."""
        source, names = request.source.keys, _gathered(request.memory, run)
        arguments = (request.at or "", PAGE_MESSAGES, PAGE_BYTES, GATHERED_MS)
        while True:
            reply = await self._script("fork_copy", (source.log, source.meta, source.keep, *names), arguments)
            if not isinstance(reply, int):
                raise as_error(reply)
            if reply:
                return reply > 0

    async def _commit(self, request: ForkRequest, run: str, token: str) -> list[str]:
        keys, definition = request.memory.keys, request.memory.definition
        limits = (definition.threshold_tokens, definition.threshold_messages)
        arguments: tuple[Argument, ...] = (
            token,
            keys.name,
            definition.ttl_ms or 0,
            *(NO_LIMIT if limit is None else limit for limit in limits),
            "",
        )
        names = (*_gathered(request.memory, run), request.source.keys.meta)
        reply = await self._script(
            "fork_commit", (*names, keys.log, keys.meta, keys.keep, keys.due, keys.lock), arguments
        )
        if not isinstance(reply, bytes):
            raise as_error(reply)
        return reply.decode().split(" ")

    async def _script(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(reply: Reply) -> None:
            if not answer.done():
                answer.set_result(reply)

        self._pipe.call_script(name, keys, arguments, done, resend=True)
        return await answer


def _gathered(target: Memory, run: str) -> tuple[str, str, str]:
    """Return where log, meta and keep of a copy are gathered."""
    place = target.keys.fork(run)
    return f"{place}:log", f"{place}:meta", f"{place}:keep"


def _result(words: Sequence[str]) -> AppendResult:
    first, last, messages, tokens, flush = words[1:6]
    ids = [None if word == "-" else word for word in (first, last)]
    return AppendResult(ids[0], ids[1], int(messages), int(messages), int(tokens), flush)
