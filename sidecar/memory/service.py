"""Executes the MEM commands: counts tokens, asks the store, asks the flush engine.

Its counterpart is the session, which says what to run; how messages lie on Redis is the store's business. The frequent
commands go through callbacks from end to end, the slow ones (a large text to count, a flush to wait for) are tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import cache, partial
from typing import Any, Protocol

from sidecar.errors import BadMessage, EngineUnavailable, FlushFailed, FlushTimeout, SyntaxProblem, UnknownMemory
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import DEFAULT_DEFINITION, Definition
from sidecar.memory.health import Health
from sidecar.memory.message import Message, count_message
from sidecar.memory.ports import FlushEngine, FlushHandle, FlushOrder, FlushOutcome, TextCounter
from sidecar.memory.requests import (
    LARGE_MESSAGE_CHARACTERS,
    MAX_REQUEST_MESSAGES,
    AppendRequest,
    ClearRequest,
    CountRequest,
    FlushRequest,
    HealthRequest,
    InfoRequest,
    ReadRequest,
    Request,
)
from sidecar.memory.results import AppendResult, EncodingDiffers, FlushReport, MemoryInfo, ReadResult
from sidecar.memory.window import without_orphans

Done = Callable[[Any], None]
"""Takes the result of a command, or the exception that ended it."""

MAX_REMEMBERED_ENCODINGS = 4_096
"""Memories known to be counted with another encoding than their definition says; forgotten all at once when full."""


class Store(Protocol):
    """What the service needs from `store.memory_store`; see there."""

    def append(self, memory: Memory, messages: list[Message], tokens: list[int], encoding: str, done: Done) -> None: ...

    def read(
        self,
        memory: Memory,
        *,
        tokens: int | None,
        most: int | None,
        since: str | None,
        with_summary: bool,
        touch: bool,
        done: Done,
    ) -> None: ...

    def info(self, memory: Memory, done: Done) -> None: ...

    def clear(self, memory: Memory, done: Done) -> None: ...


class Tally(Protocol):
    """Where the service counts; `sidecar.metrics.Metrics` is one."""

    messages_appended: int
    tokens_appended: int
    tokens_read: int


class MemoryService:
    """Runs requests.

    Args:
        store: the memories.
        counter: returns the counter of an encoding.
        encoding_for_model: returns the encoding of a model's name, or raises ValueError.
        definitions: by id.
        engine: runs flushes.
        health: tells how the process is.
        tally: counts what was stored and read.
        max_request_messages: most messages of one append.
    """

    def __init__(
        self,
        *,
        store: Store,
        counter: Callable[[str], TextCounter],
        encoding_for_model: Callable[[str], str],
        definitions: Mapping[str, Definition],
        engine: FlushEngine,
        health: Health,
        tally: Tally,
        max_request_messages: int = MAX_REQUEST_MESSAGES,
    ) -> None:
        self._store = store
        self._counter = cache(counter)  # asked for with every message
        self._encoding_for_model = encoding_for_model
        self._definitions = definitions
        self._engine = engine
        self._tally = tally
        self._max_request_messages = max_request_messages
        self._tasks: set[asyncio.Task[object]] = set()
        self._other_encodings: dict[str, str] = {}
        self._handlers: dict[type, Callable[[Any, Done], None]] = {
            AppendRequest: self._append,
            ReadRequest: self._read,
            InfoRequest: lambda request, done: store.info(request.memory, done),
            ClearRequest: self._clear,
            CountRequest: lambda request, done: self._spawn(self._count(request), done),
            FlushRequest: lambda request, done: self._spawn(self._flush(request), done),
            HealthRequest: lambda request, done: self._spawn(health.report(), done),
        }

    def execute(self, request: Request, done: Done) -> None:
        """Run a request; `done` is called once, with the result or the exception."""
        try:
            self._handlers[type(request)](request, done)
        except Exception as problem:  # the caller gets an answer whatever happens
            done(problem)

    async def close(self) -> None:
        """Cancel the tasks that still run; their callers are gone or get an error."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, object], done: Done) -> None:
        task = asyncio.get_running_loop().create_task(work, name="mem-command")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, done))

    def _ended(self, done: Done, task: asyncio.Task[object]) -> None:
        """Answer for a task. Not done by its coroutine, which never runs when it is cancelled before its first step."""
        self._tasks.discard(task)
        if task.cancelled():
            done(asyncio.CancelledError())
            return
        problem = task.exception()
        done(task.result() if problem is None else problem)

    # ---- append ----

    def _append(self, request: AppendRequest, done: Done) -> None:
        memory = request.memory
        if len(request.messages) > self._max_request_messages:
            raise BadMessage(
                f"a request may have {self._max_request_messages} messages, this one has {len(request.messages)}; "
                "send them in parts"
            )
        encoding = self._other_encodings.get(memory.keys.name, memory.definition.encoding)
        self._append_counted(request, encoding, done)

    def _append_counted(self, request: AppendRequest, encoding: str, done: Done) -> None:
        if request.large:
            self._spawn(self._append_large(request, encoding), done)
            return
        weights = self._weigh(request, encoding)
        self._store.append(
            request.memory,
            request.messages,
            weights,
            encoding,
            partial(self._appended, request, sum(weights), done),
        )

    async def _append_large(self, request: AppendRequest, encoding: str) -> object:
        weights = await asyncio.to_thread(self._weigh, request, encoding)
        stored: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._store.append(
            request.memory,
            request.messages,
            weights,
            encoding,
            partial(self._appended, request, sum(weights), partial(_settle, stored)),
        )
        return await stored

    def _weigh(self, request: AppendRequest, encoding: str) -> list[int]:
        count = self._counter(encoding).count
        definition = request.memory.definition
        return [count_message(message, definition, count) for message in request.messages]

    def _appended(self, request: AppendRequest, tokens: int, done: Done, result: object) -> None:
        if isinstance(result, EncodingDiffers):
            if len(self._other_encodings) >= MAX_REMEMBERED_ENCODINGS:
                self._other_encodings.clear()
            self._other_encodings[request.memory.keys.name] = result.encoding
            try:
                self._append_counted(request, result.encoding, done)
            except Exception as problem:  # the store calls this, and must get to the other requests of its batch
                done(problem)
            return
        if isinstance(result, AppendResult):
            self._tally.messages_appended += result.appended
            self._tally.tokens_appended += tokens
        done(result)

    def _clear(self, request: ClearRequest, done: Done) -> None:
        # What comes next is a new memory, which is counted as its definition says.
        self._other_encodings.pop(request.memory.keys.name, None)
        self._store.clear(request.memory, done)

    # ---- read and count ----

    def _read(self, request: ReadRequest, done: Done) -> None:
        self._store.read(
            request.memory,
            tokens=request.tokens,
            most=request.count,
            since=request.since,
            with_summary=request.with_summary,
            touch=request.touch,
            done=partial(self._finish_read, request, done),
        )

    def _finish_read(self, request: ReadRequest, done: Done, result: object) -> None:
        if isinstance(result, ReadResult):
            result.openai = request.openai
            # Whoever follows with SINCE has the calls already; results must not be held back from them.
            if request.since is None and (request.openai or request.tokens is not None or request.count is not None):
                try:
                    whole = without_orphans(result.messages)
                except Exception as problem:  # fields that somebody else wrote; the store has others to answer
                    done(problem)
                    return
                result.left_out += len(result.messages) - len(whole)
                result.messages = whole
            self._tally.tokens_read += result.tokens
        done(result)

    async def _count(self, request: CountRequest) -> list[int]:
        count = self._counter(self._encoding(request)).count
        if sum(map(len, request.texts)) > LARGE_MESSAGE_CHARACTERS:
            return await asyncio.to_thread(lambda: [count(text) for text in request.texts])
        return [count(text) for text in request.texts]

    def _encoding(self, request: CountRequest) -> str:
        if request.model is not None:
            try:
                return self._encoding_for_model(request.model)
            except ValueError as problem:
                raise SyntaxProblem(str(problem)) from problem
        if request.definition is None:  # a strict configuration need not have one called default
            return self._definitions.get(DEFAULT_DEFINITION, Definition()).encoding
        definition = self._definitions.get(request.definition)
        if definition is None:
            raise UnknownMemory.definition(request.definition, sorted(self._definitions))
        return definition.encoding

    # ---- flush ----

    async def _flush(self, request: FlushRequest) -> FlushReport:
        memory = request.memory
        # Asked with the client's rights, also where FORCE does not care for the answer: the flush itself has ours.
        due = await self._is_due(memory)
        if not due and not request.force:
            return FlushReport("not-due")
        order = FlushOrder(memory.definition.id, memory.instance, request.force)
        try:
            handle = await self._engine.start(order)
        except EngineUnavailable as problem:
            return FlushReport("failed", error=f"{problem}; a memory that is due is flushed once the engine is back")
        if request.wait_ms is None:
            return FlushReport("started" if handle.started else "joined", handle.workflow_id, handle.run_id)
        outcome = await self._wait(handle, request.wait_ms)
        if outcome.status == "failed":
            raise FlushFailed(f"{outcome.error or 'no reason given'}; the memory is as it was")
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
        )

    async def _wait(self, handle: FlushHandle, wait_ms: int) -> FlushOutcome:
        try:
            async with asyncio.timeout(wait_ms / 1000):
                return await handle.outcome()
        except TimeoutError as problem:
            raise FlushTimeout(wait_ms) from problem
        except EngineUnavailable as problem:
            raise FlushFailed(f"its outcome cannot be asked for: {problem}; the flush itself may go on") from problem

    async def _is_due(self, memory: Memory) -> bool:
        info = await self._ask(lambda done: self._store.info(memory, done))
        assert isinstance(info, MemoryInfo)
        definition = memory.definition
        most_tokens, most_messages = definition.threshold_tokens, definition.threshold_messages
        return (most_tokens is not None and info.tokens + info.summary_tokens > most_tokens) or (
            most_messages is not None and info.messages > most_messages
        )

    async def _ask(self, call: Callable[[Done], None]) -> object:
        """Await a call of the store; an exception as its result is raised."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        call(partial(_settle, answer))
        return await answer


def _settle(future: asyncio.Future[object], result: object) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
