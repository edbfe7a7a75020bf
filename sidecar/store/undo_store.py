"""What an undo asks of Redis, besides the copies. The counterparts are `flush.undo` and the two scripts."""

from __future__ import annotations

from typing import NamedTuple

from redis.asyncio import Redis

from sidecar.memory.keys import KeySpace
from sidecar.store.lease import LEASE_MS, WORK_TTL_MS, Lease, work_keys
from sidecar.store.script_client import ScriptClient


class Undone(NamedTuple):
    """Messages that were put back, and what the memory holds now."""

    restored: int
    messages: int
    tokens: int
    summary_tokens: int


class UndoBegun(NamedTuple):
    """Answer of the begin; `code` tells which of the rest is set, see the script's header."""

    code: str
    lease: Lease | None = None
    plan: bytes = b""
    undone: Undone | None = None


class UndoReply(NamedTuple):
    """Answer of the commit: `undone` is None where it refused; with `locked`, for how long."""

    code: str
    undone: Undone | None = None
    left_ms: int = 0


class UndoStore:
    """The undo's view of the memories on one Redis.

    Every method raises `RedisRefused`, `Unavailable` or `Uncertain`, and may be called again after those.

    Args:
        redis: a client that answers bytes.
        space: where this deployment keeps its memories.
    """

    def __init__(self, redis: Redis, space: KeySpace) -> None:
        self._client = ScriptClient(redis)
        self._space = space

    async def begin(self, definition: str, instance: str, *, run_id: str) -> UndoBegun:
        """Take the right to undo the last flush. O(1)."""
        keys = self._space.keys(definition, instance)
        code, *rest = await self._client.script(
            "undo_begin", [keys.meta, keys.undo, keys.was], [run_id, LEASE_MS, WORK_TTL_MS]
        )
        match code:
            case b"begun":
                epoch, fence, plan = rest
                return UndoBegun("begun", Lease(definition, instance, run_id, epoch.decode(), int(fence)), plan)
            case b"done":
                return UndoBegun("done", undone=Undone(*map(int, rest)))
        return UndoBegun(code.decode())

    async def give_up(self, lease: Lease) -> None:
        """Let the lease end, and what was copied expire. O(1)."""
        keys = self._space.keys(lease.definition, lease.instance)
        await self._client.script("renew", work_keys(keys), [*lease.proof, 0, 1])

    async def commit(self, lease: Lease, *, cursor: str, tokens: int) -> UndoReply:
        """Put the log that was made anew in the place of the present one. O(1).

        Args:
            lease: of the run.
            cursor: last id that the new log covers.
            tokens: of what it holds.
        """
        keys = self._space.keys(lease.definition, lease.instance)
        names = [keys.log, keys.meta, keys.keep, keys.lock, keys.next, keys.undo, keys.was]
        code, *rest = await self._client.script("undo_commit", names, [*lease.proof, cursor, tokens])
        if code == b"locked":
            return UndoReply("locked", left_ms=int(rest[0]))
        return UndoReply(code.decode(), Undone(*map(int, rest)) if rest else None)
