"""Runs MEMREAD: asks the store, waits for what is still to come, cuts what is too large, leaves out broken tool pairs.

The counterparts are `lua/read.lua`, which chooses within a budget, and `memory.window`, which knows tool pairs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from time import monotonic
from typing import Any, Protocol, cast

from sidecar.memory.requests import LARGE_MESSAGE_CHARACTERS, ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.memory.tasks import Done, asked
from sidecar.memory.truncation import Count, truncated
from sidecar.memory.window import without_orphans

LOOK_S = 1.0
"""Between two looks of a waiting reader whom nobody can tell of an append."""

RARE_LOOK_S = 5.0
"""Between two looks of one who will be told: an append's own user may lack the right to tell."""


class Found(Protocol):
    """What a store's read returns; see `store.memory_store.Found`."""

    @property
    def result(self) -> ReadResult: ...

    @property
    def newest_id(self) -> str: ...

    @property
    def cut_room(self) -> int: ...

    @property
    def cut(self) -> list[StoredMessage]: ...


class ReadStore(Protocol):
    """What reading needs from `store.memory_store`."""

    def read(self, request: ReadRequest, done: Done, *, wait_ms: int = 0) -> None: ...


class Watch(Protocol):
    """Tells of appends to one memory; see `store.wakeups`."""

    async def ready(self) -> bool:
        """Wait until appends are told; False: they will not be, so look by yourself."""
        ...

    async def woken(self) -> None:
        """Wait for the next append since the last call."""
        ...


class Watches(Protocol):
    """`store.wakeups.Wakeups` is one."""

    def watch(self, channel: str) -> AbstractAsyncContextManager[Watch]: ...


class ReadTally(Protocol):
    """Where reads are counted; `sidecar.metrics.Metrics` is one."""

    def read(self, kind: str, messages: int, tokens: int) -> None: ...

    def left_out(self, orphans: int, passed_over: int) -> None: ...


class Reading:
    """Reads of one user.

    Args:
        store: the memories.
        counter: returns the function that counts in an encoding.
        watches: tells of appends.
        tally: counts what was returned.
    """

    def __init__(
        self, *, store: ReadStore, counter: Callable[[str], Count], watches: Watches, tally: ReadTally
    ) -> None:
        self._store = store
        self._counter = counter
        self._watches = watches
        self._tally = tally

    def read(self, request: ReadRequest, done: Done) -> None:
        """Read what there is now. A read that has to wait, or to cut a large text, is `read_slowly`'s."""
        self._store.read(request, partial(self._answer, request, done))

    async def read_slowly(self, request: ReadRequest, stop: asyncio.Event) -> ReadResult:
        """Read, and wait up to `block_ms` for a message where there is none.

        Args:
            request: what is wanted.
            stop: set when nobody waits for the answer any more; then what there is now is returned.
        """
        found = await self._ask(request)
        if request.since == "$":
            request.since = found.newest_id or "0-0"
        if request.block_ms is not None and not found.result.messages and not found.cut:
            found = await self._wait(request, request.block_ms, stop)
        return await self._finished(request, found)

    async def _wait(self, request: ReadRequest, block_ms: int, stop: asyncio.Event) -> Found:
        ends = monotonic() + block_ms / 1000
        async with self._watches.watch(request.memory.keys.wake) as watch:
            told = await watch.ready()
            while True:
                left_s = max(0.0, ends - monotonic())
                found = await self._ask(request, wait_ms=int(left_s * 1000))
                if found.result.messages or found.cut or stop.is_set() or not left_s:
                    return found
                await _first_of(watch.woken(), stop.wait(), min(left_s, RARE_LOOK_S if told else LOOK_S))

    async def _ask(self, request: ReadRequest, *, wait_ms: int = 0) -> Found:
        found: Any = await asked(lambda done: self._store.read(request, done, wait_ms=wait_ms))
        return cast("Found", found)

    def _answer(self, request: ReadRequest, done: Done, found: Any) -> None:
        if isinstance(found, BaseException):
            done(found)
            return
        try:
            result = self._whole(request, found.result)
        except Exception as problem:  # fields that somebody else wrote; the store has others to answer
            done(problem)
            return
        done(result)

    async def _finished(self, request: ReadRequest, found: Found) -> ReadResult:
        result = found.result
        if found.cut:
            count, definition = self._counter(request.memory.definition.encoding), request.memory.definition
            size = max(len(message.content) for message in found.cut)
            if size > LARGE_MESSAGE_CHARACTERS:
                unit = await asyncio.to_thread(truncated, found.cut, found.cut_room, count, definition)
            else:
                unit = truncated(found.cut, found.cut_room, count, definition)
            if unit is None:
                result.left_out += len(found.cut)
            else:
                result.messages = _merged(unit, result.messages)
        return self._whole(request, result)

    def _whole(self, request: ReadRequest, result: ReadResult) -> ReadResult:
        if result.settled_tokens is None:
            self._settle(request, result)
        if result.left_out:
            self._tally.left_out(result.orphans, result.left_out - result.orphans)
        self._tally.read(kind_of(request), len(result.messages), result.tokens)
        return result

    def _settle(self, request: ReadRequest, result: ReadResult) -> None:
        # Whoever follows with SINCE has the calls already; results must not be held back from them.
        chosen = request.format != "resp" or request.roles or request.before is not None
        if request.since is None and (chosen or request.tokens is not None or request.count is not None):
            up_to_now = request.before is None and not request.roles
            whole = without_orphans(result.messages, up_to_now=up_to_now)
            result.orphans = len(result.messages) - len(whole)
            result.left_out += result.orphans
            result.messages = whole
        result.settle()


def kind_of(request: ReadRequest) -> str:
    """Return by what a read is bounded, as the metrics tell reads apart."""
    if request.block_ms is not None:
        return "blocking"
    if request.tokens is not None:
        return "budget"
    if request.count is not None:
        return "count"
    if request.since is not None:
        return "since"
    return "filtered" if request.before is not None or request.roles else "whole"


def is_slow(request: ReadRequest) -> bool:
    """Whether a read may have to wait, or to cut a text."""
    return request.block_ms is not None or request.oversize == "truncate"


def _merged(unit: Sequence[StoredMessage], others: Sequence[StoredMessage]) -> list[StoredMessage]:
    return sorted((*unit, *others), key=lambda message: tuple(map(int, message.id.split("-"))))


async def _first_of(one: Any, other: Any, limit_s: float) -> None:
    """Wait for the first of two coroutines, at most `limit_s`."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:  # not awaited here: see tests/compiled/test_handlers.py
            task.add_done_callback(_look_away)
            task.cancel()


def _look_away(task: asyncio.Future[Any]) -> None:
    """Take note of how a task has ended, which asyncio would log otherwise: nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
