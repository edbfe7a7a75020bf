"""A store and a flush engine that answer what a test says. They implement the ports that the service calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sidecar.commands.messages import from_fields
from sidecar.memory.addressing import Memory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition
from sidecar.memory.health import Health
from sidecar.memory.message import Message
from sidecar.memory.ports import FlushOrder, FlushOutcome, UndoOutcome
from sidecar.memory.requests import ForkRequest, ListRequest, ReadRequest, Request
from sidecar.memory.results import AppendResult, EncodingDiffers, ListPage, LockGranted, MemoryInfo
from sidecar.memory.service import MemoryService
from sidecar.memory.tasks import Done
from sidecar.metrics import Metrics
from sidecar.privacy.redaction import Redactor
from tests.support.addressing import addressing

DEFINITIONS: Mapping[str, Definition] = {
    "default": Definition(max_tokens=100, max_messages=10),
    "old": Definition("old", encoding="cl100k_base", max_tokens=None),
}


def memory(key: str) -> Memory:
    return addressing(DEFINITIONS).resolve(key.encode())


def info(messages: int = 0, tokens: int = 0, summary_tokens: int = 0) -> MemoryInfo:
    """State of a memory with these totals and nothing else to tell."""
    nothing = None, None, None, None, None, None
    return MemoryInfo(messages, tokens, summary_tokens, 0, 100, 10, "none", *nothing, "o200k_base", None, None)


@dataclass
class AnsweringStore:
    """Answers each call with the next of `answers`; the last one stays. None: the call waits in `waiting`."""

    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    waiting: list[Done] = field(default_factory=list)

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
        trace: str = "",
    ) -> None:
        further = tuple(value for value in (token, idempotent, replace, trace) if value)
        contents = [message.content for message in messages]
        self._answer(done, "append", memory.instance, contents, weights, encoding, *further)

    def read(self, request: ReadRequest, done: Done, *, wait_ms: int = 0) -> None:
        self._answer(done, "read", request, wait_ms)

    def info(self, memory: Memory, done: Done, *, may_remove: bool = False) -> None:
        self._answer(done, "info", memory.instance)

    def clear(self, memory: Memory, done: Done, *, token: str = "") -> None:
        self._answer(done, "clear", memory.instance, *([token] if token else []))

    def delete(self, memory: Memory, ids: Sequence[str], done: Done, *, pairs: bool = False, token: str = "") -> None:
        self._answer(done, "delete", memory.instance, ids, pairs, token)

    def pin(self, memory: Memory, ids: Sequence[str], done: Done, *, pin: bool) -> None:
        self._answer(done, "pin", memory.instance, ids, pin)

    async def close(self) -> None:
        self.calls.append(("close",))

    def ping(self, done: Done) -> None:
        self._answer(done, "ping")

    def _answer(self, done: Done, *call: Any) -> None:
        self.calls.append(call)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if answer is None:
            self.waiting.append(done)
        else:
            done(answer)


@dataclass
class AnsweringEngine:
    """Starts flushes that end with `ending`; None: they go on for ever. `error`: nothing can be started."""

    ending: FlushOutcome | Exception | None = None
    started: bool = True
    error: Exception | None = None
    up: bool | None = True
    orders: list[FlushOrder] = field(default_factory=list)
    name = "local"
    workflow_id = "flush-of-it"
    run_id = "run-1"

    async def start(self, order: FlushOrder) -> AnsweringEngine:
        self.orders.append(order)
        if self.error is not None:
            raise self.error
        return self

    async def outcome(self) -> FlushOutcome:
        if self.ending is None:
            await asyncio.Event().wait()
        if isinstance(self.ending, Exception):
            raise self.ending
        assert self.ending is not None
        return self.ending

    async def healthy(self) -> bool:
        if self.up is None:
            await asyncio.Event().wait()
        return bool(self.up)


@dataclass
class LetterCounter:
    """Counts letters, cl100k_base two for each, and notes the threads that it is called on."""

    encoding: str
    engine: str = "letter"
    threads: set[int] = field(default_factory=set)

    def count(self, text: str) -> int:
        self.threads.add(threading.get_ident())
        return len(text) * (2 if self.encoding == "cl100k_base" else 1)


def encoding_for_model(model: str) -> str:
    if model != "gpt-4":
        raise ValueError(f"no vocabulary is known for {model}")
    return "cl100k_base"


@dataclass
class Others:
    """Locks, copies, walks and news that answer what a test says: each call the next of `answers`; None waits."""

    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    told: bool = True

    async def acquire(self, memory: Memory, *, lease_ms: int, wait_ms: int = 0) -> LockGranted:
        answer: LockGranted = await self._answer("acquire", memory.instance, lease_ms, wait_ms)
        return answer

    async def extend(self, memory: Memory, token: str, *, lease_ms: int) -> LockGranted:
        answer: LockGranted = await self._answer("extend", memory.instance, token, lease_ms)
        return answer

    async def release(self, memory: Memory, token: str) -> bool:
        answer: bool = await self._answer("release", memory.instance, token)
        return answer

    async def fork(self, request: ForkRequest) -> AppendResult:
        answer: AppendResult = await self._answer("fork", request.source.instance, request.memory.instance, request.at)
        return answer

    async def page(self, request: ListRequest) -> ListPage:
        answer: ListPage = await self._answer("page", request)
        return answer

    async def preview(self, order: FlushOrder) -> FlushOutcome:
        answer: FlushOutcome = await self._answer("preview", order)
        return answer

    async def undo(self, definition: str, instance: str) -> UndoOutcome:
        answer: UndoOutcome = await self._answer("undo", definition, instance)
        return answer

    @asynccontextmanager
    async def watch(self, channel: str) -> AsyncIterator[Others]:
        self.calls.append(("watch", channel))
        yield self
        self.calls.append(("unwatch", channel))

    async def ready(self) -> bool:
        return self.told

    async def woken(self) -> None:
        await self.news.wait()
        self.news.clear()

    async def _answer(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bench:
    """A service with everything that it needs, and its answers."""

    def __init__(
        self,
        *answers: Any,
        engine: AnsweringEngine | None = None,
        definitions: Mapping[str, Definition] = DEFINITIONS,
        others: Others | None = None,
    ) -> None:
        self.store = AnsweringStore(list(answers))
        self.engine = engine or AnsweringEngine()
        self.others = others or Others()
        self.catalogue = Catalogue(definitions)
        self.tally = Metrics()
        self.counters = {name: LetterCounter(name) for name in ("o200k_base", "cl100k_base")}
        self.health = Health(
            ping=self.store.ping,
            engine=self.engine,
            gauge=self.tally,
            counter=self.counters.__getitem__,
            catalogue=self.catalogue,
            lock_waiters=lambda: 3,
        )
        self.service = MemoryService(
            store=self.store,
            locks=self.others,
            forks=self.others,
            walk=self.others,
            watches=self.others,
            redactor=lambda policy: Redactor(policy, rebuild=from_fields),
            preview=self.others,
            undo=self.others,
            counter=self.counters.__getitem__,
            encoding_for_model=encoding_for_model,
            catalogue=self.catalogue,
            engine=self.engine,
            health=self.health,
            tally=self.tally,
        )

    async def ask(self, request: Request) -> Any:
        """Execute a request; return its result, an exception too, once it has come, and exactly once."""
        results: list[Any] = []
        came = asyncio.Event()

        def done(result: Any) -> None:
            results.append(result)
            came.set()

        self.service.execute(request, done)
        async with asyncio.timeout(10):
            await came.wait()
        await asyncio.sleep(0)  # a second answer would come now
        (result,) = results
        return result


def start(bench: Bench, request: Request) -> list[Any]:
    """Execute a request without waiting; the list takes what is answered."""
    results: list[Any] = []
    bench.service.execute(request, results.append)
    return results


APPENDED = AppendResult("1-0", "2-0", 2, 5, 50, "none")
OTHER = EncodingDiffers("cl100k_base")
