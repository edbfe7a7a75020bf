"""Puts back what the last flush took: the log is made anew, with what it holds now and what it held before.

Runs in whichever process is asked, whatever the engine: it needs no model and no patience. The counterparts are
`removal`, which has set aside what is put back, and the scripts of `store.undo_store`. It takes the memory's fence, so
that a flush under way plans anew; until its commit nothing is changed, and after it all of it is.
"""

from __future__ import annotations

from uuid import uuid4

from sidecar.errors import FlushLocked, FlushRefused
from sidecar.flush import staging
from sidecar.flush.removal import former_spans
from sidecar.memory.ports import UndoOutcome
from sidecar.store.flush_copies import FlushCopies, Span, Stream
from sidecar.store.lease import Lease
from sidecar.store.undo_store import UndoBegun, Undone, UndoStore


class Undo:
    """The port `FlushUndo` over one Redis.

    Args:
        store: begins and commits.
        copies: makes the copies.
    """

    def __init__(self, *, store: UndoStore, copies: FlushCopies) -> None:
        self._store = store
        self._copies = copies

    async def undo(self, definition: str, instance: str) -> UndoOutcome:
        """Undo the last flush; see `ports.FlushUndo`. O(messages that the memory holds then), in pieces.

        The first and the last word are scripts of O(1); Redis serves everybody else in between.
        """
        run_id = f"undo:{uuid4().hex}"
        begun = await self._store.begin(definition, instance, run_id=run_id)
        if begun.code == "nothing":
            return UndoOutcome(None)
        if begun.undone is not None:
            return _outcome(begun.undone)
        if begun.lease is None:
            raise FlushRefused("undo-busy")
        try:
            return _outcome(await self._put_back(begun, begun.lease))
        except FlushLocked:
            await self._store.give_up(begun.lease)  # or no flush could begin before the lease has run out
            raise

    async def _put_back(self, begun: UndoBegun, lease: Lease) -> Undone:
        spans = list(former_spans(staging.decode(begun.plan)))
        tokens = await self._copies.copy(lease, Stream.NEXT, spans)
        cursor = await self._copies.newest(lease, Stream.NEXT)
        while True:
            reply = await self._store.commit(lease, cursor=cursor, tokens=tokens)
            if reply.undone is not None:
                return reply.undone
            if reply.code == "locked":
                raise FlushLocked(reply.left_ms)
            if reply.code != "behind":
                raise FlushRefused(reply.code)
            tokens += await self._copies.copy(lease, Stream.NEXT, [Span(Stream.LOG, f"({cursor}", "+")], anew=False)
            cursor = await self._copies.newest(lease, Stream.NEXT)


def _outcome(undone: Undone) -> UndoOutcome:
    return UndoOutcome(undone.restored, undone.messages, undone.tokens, undone.summary_tokens)
