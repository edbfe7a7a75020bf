"""Executes the MEM commands: asks the intake what is to be stored, the store to store it, and the flush engine.

Its counterpart is the session, which says what to run; how messages lie on Redis is the store's business. The frequent
commands go through callbacks from end to end (`appending`, `reading`), the slow ones (a large text to count, a lock or
a flush to wait for) are tasks (`tasks`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from sidecar.errors import FlushTimeout, Forbidden, SyntaxProblem, UnknownMemory, WaitEnded
from sidecar.memory.addressing import Memory
from sidecar.memory.appending import Appending, AppendStore, AppendTally
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import DEFAULT_DEFINITION, Definition, PrivacyPolicy
from sidecar.memory.flushing import Flushing
from sidecar.memory.health import Health
from sidecar.memory.intake import Redactor
from sidecar.memory.message import calibrated
from sidecar.memory.ports import FlushEngine, FlushPreview, FlushUndo, TextCounter
from sidecar.memory.reading import Reading, ReadStore, ReadTally, Watches, is_slow
from sidecar.memory.requests import (
    LARGE_MESSAGE_CHARACTERS,
    MAX_REQUEST_MESSAGES,
    AppendRequest,
    ClearRequest,
    CountRequest,
    DefinitionsRequest,
    DeleteRequest,
    FlushRequest,
    ForkRequest,
    HealthRequest,
    InfoRequest,
    ListRequest,
    LockRequest,
    PinRequest,
    ReadRequest,
    Request,
    UnlockRequest,
)
from sidecar.memory.results import AppendResult, ListPage, LockGranted, MemoryInfo
from sidecar.memory.tasks import CommandTasks, Done, Handler, asked

_CHANGING = frozenset(
    {AppendRequest, ClearRequest, DeleteRequest, PinRequest, ForkRequest, LockRequest, UnlockRequest, FlushRequest}
)
"""Requests that a read-only definition refuses."""


class Store(AppendStore, ReadStore, Protocol):
    """What the service needs from `store.memory_store`; see there."""

    def info(self, memory: Memory, done: Done, *, may_remove: bool = False) -> None: ...

    def clear(self, memory: Memory, done: Done, *, token: str = "") -> None: ...

    def delete(
        self, memory: Memory, ids: Sequence[str], done: Done, *, pairs: bool = False, token: str = ""
    ) -> None: ...

    def pin(self, memory: Memory, ids: Sequence[str], done: Done, *, pin: bool) -> None: ...

    async def close(self) -> None: ...


class Locks(Protocol):
    """What the service needs from `store.locks.LockManager`; see there."""

    async def acquire(self, memory: Memory, *, lease_ms: int, wait_ms: int = 0) -> LockGranted: ...

    async def extend(self, memory: Memory, token: str, *, lease_ms: int) -> LockGranted: ...

    async def release(self, memory: Memory, token: str) -> bool: ...


class Forks(Protocol):
    """`store.fork.Forks` is one."""

    async def fork(self, request: ForkRequest) -> AppendResult: ...


class Walk(Protocol):
    """`store.walk.Walk` is one."""

    async def page(self, request: ListRequest) -> ListPage: ...


class Tally(AppendTally, ReadTally, Protocol):
    """Where the service counts; `sidecar.metrics.Metrics` is one."""


class MemoryService:
    """Runs the requests of one user.

    Args:
        store, locks, forks, walk: the memories, with this user's rights.
        watches: tells of appends.
        counter: returns the counter of an encoding.
        encoding_for_model: returns the encoding of a model's name, or raises ValueError.
        redactor: makes what carries out a privacy policy.
        catalogue: the definitions in force.
        engine: runs flushes.
        preview: plans flushes.
        undo: puts back what a flush took.
        health: tells how the process is.
        tally: counts what was stored and read.
        max_request_messages: most messages of one append.
    """

    def __init__(
        self,
        *,
        store: Store,
        locks: Locks,
        forks: Forks,
        walk: Walk,
        watches: Watches,
        counter: Callable[[str], TextCounter],
        encoding_for_model: Callable[[str], str],
        redactor: Callable[[PrivacyPolicy], Redactor],
        catalogue: Catalogue,
        engine: FlushEngine,
        preview: FlushPreview,
        undo: FlushUndo,
        health: Health,
        tally: Tally,
        max_request_messages: int = MAX_REQUEST_MESSAGES,
    ) -> None:
        self._store = store
        self._locks = locks
        self._counter = cache(counter)  # asked for with every message
        self._encoding_for_model = encoding_for_model
        self._catalogue = catalogue
        self._tasks = CommandTasks()
        self._appending = Appending(
            store=store,
            counter=self._counter,
            redactor=redactor,
            tally=tally,
            tasks=self._tasks,
            max_request_messages=max_request_messages,
        )
        self._reading = Reading(
            store=store, counter=lambda encoding: self._counter(encoding).count, watches=watches, tally=tally
        )
        flushing = Flushing(engine=engine, preview=preview, undo=undo, info=self._info)
        self._read_slowly = self._tasks.stoppable_handler(self._reading.read_slowly)
        self._lock_at_once = self._tasks.handler(self._leased)
        self._lock_patiently = self._tasks.handler(self._leased, stopped=WaitEnded)
        self._handlers: dict[type, Handler] = {
            AppendRequest: self._appending.append,
            ReadRequest: self._read,
            InfoRequest: lambda request, done: store.info(request.memory, done),
            ClearRequest: self._clear,
            DeleteRequest: lambda request, done: store.delete(
                request.memory, request.ids, done, pairs=request.pairs, token=request.lock or ""
            ),
            PinRequest: lambda request, done: store.pin(request.memory, request.ids, done, pin=request.pin),
            DefinitionsRequest: self._definitions,
            UnlockRequest: self._tasks.handler(lambda request: locks.release(request.memory, request.token)),
            ForkRequest: self._tasks.handler(forks.fork),
            ListRequest: self._tasks.handler(walk.page),
            CountRequest: self._count,
            HealthRequest: self._tasks.handler(lambda _: health.report()),
            LockRequest: self._lock,
            FlushRequest: self._tasks.stoppable_handler(
                flushing.flush, lambda request: FlushTimeout(request.wait_ms or 0)
            ),
        }

    def execute(self, request: Request, done: Done) -> None:
        """Run a request; `done` is called once, with the result or the exception."""
        try:
            kind = type(request)
            if kind in _CHANGING:
                definition: Definition = request.memory.definition  # type: ignore[union-attr] # each of these has one
                if definition.mode == "read-only":
                    raise Forbidden(definition.id)
            self._handlers[kind](request, done)
        except Exception as problem:  # the caller gets an answer whatever happens
            done(problem)

    def stop(self, request: Request) -> None:
        """End the wait of a request that is being executed: nobody wants its answer any more, or we must leave."""
        self._tasks.stop(request)

    async def close(self) -> None:
        """Cancel the tasks that still run; their callers are gone or get an error."""
        await self._tasks.close()
        await self._store.close()

    # ---- what is on the store ----

    def _clear(self, request: ClearRequest, done: Done) -> None:
        self._appending.forget_encoding(request.memory)
        self._store.clear(request.memory, done, token=request.lock or "")

    def _read(self, request: ReadRequest, done: Done) -> None:
        if not is_slow(request):
            self._reading.read(request, done)
            return
        self._read_slowly(request, done)

    async def _info(self, memory: Memory, may_remove: bool) -> MemoryInfo:
        info = await asked(lambda done: self._store.info(memory, done, may_remove=may_remove))
        assert isinstance(info, MemoryInfo)
        return info

    # ---- the others ----

    def _lock(self, request: LockRequest, done: Done) -> None:
        # What does not wait is not stopped: it may have been done already.
        waits = request.wait_ms > 0 and request.renew is None
        (self._lock_patiently if waits else self._lock_at_once)(request, done)

    async def _leased(self, request: LockRequest) -> LockGranted:
        if request.renew is not None:
            return await self._locks.extend(request.memory, request.renew, lease_ms=request.ttl_ms)
        return await self._locks.acquire(request.memory, lease_ms=request.ttl_ms, wait_ms=request.wait_ms)

    def _definitions(self, request: DefinitionsRequest, done: Done) -> None:
        if request.definition is None:
            done(sorted(self._catalogue))
        else:
            done(self._definition(request.definition))

    def _definition(self, name: str) -> Definition:
        definition = self._catalogue.get(name)
        if definition is None:
            raise UnknownMemory.definition(name, sorted(self._catalogue))
        return definition

    def _count(self, request: CountRequest, done: Done) -> None:
        encoding, definition = self._counting(request)
        count = self._counter(encoding).count

        def counts() -> list[int]:
            return [calibrated(count(text), definition) for text in request.texts]

        if sum(map(len, request.texts)) > LARGE_MESSAGE_CHARACTERS:
            self._tasks.spawn(asyncio.to_thread(counts), done)
        else:
            done(counts())

    def _counting(self, request: CountRequest) -> tuple[str, Definition]:
        """Return the encoding that a count asks for, and the definition whose calibration is part of it."""
        if request.model is not None:
            try:
                return self._encoding_for_model(request.model), Definition()
            except ValueError as problem:
                raise SyntaxProblem(str(problem)) from problem
        if request.definition is None:  # a strict configuration need not have one called default
            definition = self._catalogue.get(DEFAULT_DEFINITION) or Definition()
        else:
            definition = self._definition(request.definition)
        return definition.encoding, definition
