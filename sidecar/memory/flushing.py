"""Runs MEMFLUSH: looks whether a flush is due, starts it, and waits for its outcome.

The counterpart is a `FlushEngine`, which runs the flush; see `sidecar.flush` and `sidecar.temporal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sidecar.errors import EngineUnavailable, FlushFailed, FlushLocked, FlushRefused, FlushTimeout, Locked
from sidecar.memory.addressing import Memory
from sidecar.memory.ports import FlushEngine, FlushHandle, FlushOrder, FlushOutcome, FlushPreview, FlushUndo
from sidecar.memory.requests import FlushRequest
from sidecar.memory.results import FlushReport, MemoryInfo

AS_IT_WAS = "the memory is as it was"
MAYBE_DONE = "its commit may have been made all the same, then whole; MEMINFO shows it"


class Flushing:
    """MEMFLUSH of one user.

    Args:
        engine: runs flushes.
        preview: plans without changing anything.
        undo: puts back what a flush took.
        info: asks for the state of a memory, with the rights of the client; with True it fails where the client
            may not remove messages.
    """

    def __init__(
        self,
        *,
        engine: FlushEngine,
        preview: FlushPreview,
        undo: FlushUndo,
        info: Callable[[Memory, bool], Awaitable[MemoryInfo]],
    ) -> None:
        self._engine = engine
        self._preview = preview
        self._undo = undo
        self._info = info

    async def flush(self, request: FlushRequest, stop: asyncio.Event) -> FlushReport:
        """Run a request.

        Args:
            request: what is wanted.
            stop: set when nobody waits for the outcome any more; the flush itself is started, and goes on.

        Raises:
            FlushFailed, FlushTimeout: with `wait_ms`.
            FlushFailed, Locked: of an undo.
        """
        memory = request.memory
        # Asked with the client's rights, also where FORCE does not care for the answer: the flush itself has ours.
        info = await self._info(memory, not request.dry_run)
        if request.undo:
            return await self._undone(memory)
        if not request.force and not _is_due(memory, info, request.target):
            return FlushReport("not-due")
        order = FlushOrder(
            memory.definition.id,
            memory.instance,
            request.force,
            request.strategy or "",
            request.target,
            request.trace,
        )
        if request.dry_run:
            return _would(await self._preview.preview(order))
        try:
            handle = await self._engine.start(order)
        except EngineUnavailable as problem:
            return FlushReport("failed", error=f"{problem}; a memory that is due is flushed once the engine is back")
        if request.wait_ms is None:
            return FlushReport("started" if handle.started else "joined", handle.workflow_id, handle.run_id)
        outcome = await _wait(handle, request.wait_ms, stop)
        if outcome.status == "failed":
            left = AS_IT_WAS if outcome.certain else MAYBE_DONE
            raise FlushFailed(f"{outcome.error or 'no reason given'}; {left}")
        return _report(handle, outcome)

    async def _undone(self, memory: Memory) -> FlushReport:
        try:
            outcome = await self._undo.undo(memory.definition.id, memory.instance)
        except FlushLocked as locked:
            raise Locked(locked.left_ms, 0) from locked
        except FlushRefused as refused:
            raise FlushFailed(
                f"the undo was refused: {refused.reason}; the memory is as it was, try again"
            ) from refused
        if outcome.restored is None:
            return FlushReport("nothing-to-undo")
        return FlushReport(
            "undone",
            messages=outcome.messages,
            tokens=outcome.tokens,
            summary_tokens=outcome.summary_tokens,
            restored=outcome.restored,
        )


def _report(handle: FlushHandle, outcome: FlushOutcome) -> FlushReport:
    return FlushReport(
        status=outcome.status,
        workflow_id=handle.workflow_id,
        run_id=outcome.run_id or handle.run_id,
        strategy=outcome.strategy or None,
        removed=outcome.removed,
        messages=outcome.messages,
        tokens=outcome.tokens,
        tokens_freed=outcome.tokens_freed,
        summary_tokens=outcome.summary_tokens,
        duration_ms=outcome.duration_ms,
        shortened=outcome.shortened,
    )


def _would(outcome: FlushOutcome) -> FlushReport:
    if outcome.status == "not-due":
        return FlushReport("not-due")
    return FlushReport(
        status="would-flush",
        strategy=outcome.strategy or None,
        removed=outcome.removed,
        messages=outcome.messages,
        tokens=outcome.tokens,
        tokens_freed=outcome.tokens_freed,
        shortened=outcome.shortened,
    )


async def _wait(handle: FlushHandle, wait_ms: int, stop: asyncio.Event) -> FlushOutcome:
    outcome = asyncio.ensure_future(handle.outcome())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((outcome, stopped), timeout=wait_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        if not outcome.done():
            raise FlushTimeout(wait_ms)
        return outcome.result()
    except EngineUnavailable as problem:
        raise FlushFailed(f"its outcome cannot be asked for: {problem}; the flush itself may go on") from problem
    finally:
        outcome.cancel()
        stopped.cancel()
        await asyncio.gather(outcome, stopped, return_exceptions=True)


def _is_due(memory: Memory, info: MemoryInfo, target: int | None) -> bool:
    definition = memory.definition
    tokens = info.tokens + info.summary_tokens
    if target is not None:
        return tokens > target
    most_tokens, most_messages = definition.threshold_tokens, definition.threshold_messages
    return (most_tokens is not None and tokens > most_tokens) or (
        most_messages is not None and info.messages > most_messages
    )
