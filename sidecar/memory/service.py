"""Executes the MEM commands: asks the intake what is to be stored, the store to store it, and the flush engine.

Its counterpart is the session, which says what to run; how messages lie on Redis is the store's business. The frequent
commands go through callbacks from end to end, the slow ones (a large text to count, a lock or a flush to wait for) are
tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache, partial
from typing import Any, Protocol

from sidecar.errors import BadMessage, FlushTimeout, Forbidden, SyntaxProblem, UnknownMemory, WaitEnded
from sidecar.memory.addressing import Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import DEFAULT_DEFINITION, Definition, PrivacyPolicy
from sidecar.memory.flushing import Flushing
from sidecar.memory.health import Health
from sidecar.memory.intake import Intake, Redactor
from sidecar.memory.message import Message, calibrated
from sidecar.memory.ports import FlushEngine, FlushPreview, FlushUndo, TextCounter
from sidecar.memory.reading import Reading, ReadTally, Watches, is_slow
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
from sidecar.memory.results import AppendResult, EncodingDiffers, ListPage, LockGranted, MemoryInfo

Done = Callable[[Any], None]
"""Takes the result of a command, or the exception that ended it."""

MAX_REMEMBERED_ENCODINGS = 4_096
"""Memories known to be counted with another encoding than their definition says; forgotten all at once when full."""

_CHANGING = frozenset(
    {AppendRequest, ClearRequest, DeleteRequest, PinRequest, ForkRequest, LockRequest, UnlockRequest, FlushRequest}
)
"""Requests that a read-only definition refuses."""


class Store(Protocol):
    """What the service needs from `store.memory_store`; see there."""

    def append(
        self,
        memory: Memory,
        messages: list[Message],
        weights: Sequence[int | str],
        encoding: str,
        done: Done,
        *,
        token: str = "",
        idempotent: str | None = None,
        replace: bool = False,
    ) -> None: ...

    def read(self, request: ReadRequest, done: Done, *, wait_ms: int = 0) -> None: ...

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


class Tally(ReadTally, Protocol):
    """Where the service counts; `sidecar.metrics.Metrics` is one."""

    messages_appended: int
    tokens_appended: int
    duplicates: int

    def redacted(self, kind: str, times: int) -> None: ...


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
        self._redactor = redactor
        self._catalogue = catalogue
        self._tally = tally
        self._max_request_messages = max_request_messages
        self._intakes: dict[str, Intake] = {}
        self._reading = Reading(
            store=store, counter=lambda encoding: self._counter(encoding).count, watches=watches, tally=tally
        )
        flushing = Flushing(engine=engine, preview=preview, undo=undo, info=self._info)
        self._read_slowly = self._stoppable(self._reading.read_slowly)
        self._lock_at_once = self._task(self._leased)
        self._lock_patiently = self._task(self._leased, stopped=WaitEnded)
        self._tasks: set[asyncio.Task[object]] = set()
        self._stops: dict[int, Callable[[], object]] = {}  # by id of a request that waits: what ends its wait
        self._other_encodings: dict[str, str] = {}
        self._handlers: dict[type, Callable[[Any, Done], None]] = {
            AppendRequest: self._append,
            ReadRequest: self._read,
            InfoRequest: lambda request, done: store.info(request.memory, done),
            ClearRequest: self._clear,
            DeleteRequest: lambda request, done: store.delete(
                request.memory, request.ids, done, pairs=request.pairs, token=request.lock or ""
            ),
            PinRequest: lambda request, done: store.pin(request.memory, request.ids, done, pin=request.pin),
            DefinitionsRequest: self._definitions,
            UnlockRequest: self._task(lambda request: locks.release(request.memory, request.token)),
            ForkRequest: self._task(forks.fork),
            ListRequest: self._task(walk.page),
            CountRequest: self._count,
            HealthRequest: self._task(lambda _: health.report()),
            LockRequest: self._lock,
            FlushRequest: self._stoppable(flushing.flush, lambda request: FlushTimeout(request.wait_ms or 0)),
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
        stop = self._stops.pop(id(request), None)
        if stop is not None:
            stop()

    async def close(self) -> None:
        """Cancel the tasks that still run; their callers are gone or get an error."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    # ---- slow ones ----

    def _task(
        self, run: Callable[[Any], Awaitable[object]], stopped: Callable[[], Exception] | None = None
    ) -> Callable[[Any, Done], None]:
        """Return a handler that runs a coroutine; with `stopped` its wait can be ended, and that is the answer."""

        async def work(request: Any) -> object:
            return await run(request)

        def handle(request: Any, done: Done) -> None:
            task = self._spawn(work(request), done, stopped)
            if stopped is not None:
                self._stops[id(request)] = task.cancel
                task.add_done_callback(lambda _: self._stops.pop(id(request), None))

        return handle

    def _stoppable(
        self,
        run: Callable[[Any, asyncio.Event], Coroutine[Any, Any, object]],
        cancelled: Callable[[Any], Exception] | None = None,
    ) -> Callable[[Any, Done], None]:
        """Return a handler that runs a coroutine, which stops waiting once the event is set."""

        def handle(request: Any, done: Done) -> None:
            stop = asyncio.Event()
            task = self._spawn(run(request, stop), done, cancelled and partial(cancelled, request))
            self._stops[id(request)] = stop.set
            task.add_done_callback(lambda _: self._stops.pop(id(request), None))

        return handle

    def _spawn(
        self, work: Coroutine[Any, Any, object], done: Done, cancelled: Callable[[], BaseException] | None = None
    ) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work, name="mem-command")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, done, cancelled or asyncio.CancelledError))
        return task

    def _ended(self, done: Done, cancelled: Callable[[], BaseException], task: asyncio.Task[object]) -> None:
        """Answer for a task. Not done by its coroutine, which never runs when it is cancelled before its first step."""
        self._tasks.discard(task)
        if task.cancelled():
            done(cancelled())
            return
        problem = task.exception()
        done(task.result() if problem is None else problem)

    # ---- append and write ----

    def _append(self, request: AppendRequest, done: Done) -> None:
        if len(request.messages) > self._max_request_messages:
            raise BadMessage(
                f"a request may have {self._max_request_messages} messages, this one has {len(request.messages)}; "
                "send them in parts"
            )
        if request.large:
            self._spawn(self._append_large(request), done)
            return
        intake = self._intake(request.memory.definition)
        if not intake.takes_all:
            self._take_in(intake, request)
        encoding = self._encoding_of(request)
        weights = intake.weigh(request.messages, self._counter(encoding).count)
        self._store_weighed(request, encoding, weights, done)

    async def _append_large(self, request: AppendRequest) -> object:
        await asyncio.to_thread(self._take_in, self._intake(request.memory.definition), request)
        encoding = self._encoding_of(request)
        weights = await asyncio.to_thread(self._weigh, request, encoding)
        return await _asked(lambda done: self._store_weighed(request, encoding, weights, done))

    def _take_in(self, intake: Intake, request: AppendRequest) -> None:
        """Put in place of the messages what is to be stored of them."""
        request.messages, redacted = intake.admit(request.messages)
        for kind, times in redacted.items():
            self._tally.redacted(kind, times)

    def _encoding_of(self, request: AppendRequest) -> str:
        memory = request.memory
        if request.replace:
            return memory.definition.encoding
        return self._other_encodings.get(memory.keys.name, memory.definition.encoding)

    def _weigh(self, request: AppendRequest, encoding: str) -> list[int | str]:
        return self._intake(request.memory.definition).weigh(request.messages, self._counter(encoding).count)

    def _store_weighed(self, request: AppendRequest, encoding: str, weights: Sequence[int | str], done: Done) -> None:
        self._store.append(
            request.memory,
            request.messages,
            weights,
            encoding,
            partial(self._appended, request, weights, done),
            token=request.lock or "",
            idempotent=request.idempotent,
            replace=request.replace,
        )

    def _appended(self, request: AppendRequest, weights: Sequence[int | str], done: Done, result: object) -> None:
        if isinstance(result, EncodingDiffers):
            self._append_in(result.encoding, request, done)
            return
        if isinstance(result, AppendResult):
            if request.replace:
                self._other_encodings.pop(request.memory.keys.name, None)
            if result.duplicate:
                self._tally.duplicates += 1
            else:
                self._tally.messages_appended += result.appended
                self._tally.tokens_appended += _sum(weights)
        done(result)

    def _append_in(self, encoding: str, request: AppendRequest, done: Done) -> None:
        """Append once more, counted as the memory's other messages are."""
        if len(self._other_encodings) >= MAX_REMEMBERED_ENCODINGS:
            self._other_encodings.clear()
        self._other_encodings[request.memory.keys.name] = encoding
        try:
            if request.large:
                self._spawn(self._append_large_in(encoding, request), done)
            else:
                self._store_weighed(request, encoding, self._weigh(request, encoding), done)
        except Exception as problem:  # the store calls this, and must get to the other requests of its batch
            done(problem)

    async def _append_large_in(self, encoding: str, request: AppendRequest) -> object:
        weights = await asyncio.to_thread(self._weigh, request, encoding)
        return await _asked(lambda done: self._store_weighed(request, encoding, weights, done))

    def _intake(self, definition: Definition) -> Intake:
        intake = self._intakes.get(definition.id)
        if intake is None or intake.definition is not definition:
            redactor = self._redactor(definition.privacy) if definition.privacy.redacts else None
            intake = self._intakes[definition.id] = Intake(definition, redactor)
        return intake

    def _clear(self, request: ClearRequest, done: Done) -> None:
        # What comes next is a new memory, which is counted as its definition says.
        self._other_encodings.pop(request.memory.keys.name, None)
        self._store.clear(request.memory, done, token=request.lock or "")

    # ---- reads ----

    def _read(self, request: ReadRequest, done: Done) -> None:
        if not is_slow(request):
            self._reading.read(request, done)
            return
        self._read_slowly(request, done)

    async def _info(self, memory: Memory, may_remove: bool) -> MemoryInfo:
        info = await _asked(lambda done: self._store.info(memory, done, may_remove=may_remove))
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
            self._spawn(asyncio.to_thread(counts), done)
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


def _sum(weights: Sequence[int | str]) -> int:
    try:
        return sum(weights)  # type: ignore[arg-type]  # numbers, unless the definition has classes
    except TypeError:
        return sum(int(str(weight).partition(" ")[0]) for weight in weights)


async def _asked(call: Callable[[Done], None]) -> object:
    """Await a call of the store; an exception as its result is raised."""
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def settle(result: object) -> None:
        if answer.done():
            return
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    call(settle)
    return await answer
