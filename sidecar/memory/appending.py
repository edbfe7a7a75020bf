"""Runs MEMAPPEND and MEMWRITE: takes the messages in, counts them, and has them stored.

The counterparts are `memory.intake`, which says what becomes of messages, and `lua/append.lua`, which stores them. A
memory keeps the encoding that it began with: what was counted in another one is counted again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from sidecar.errors import BadMessage
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, PrivacyPolicy
from sidecar.memory.intake import Intake, Redactor
from sidecar.memory.message import Message
from sidecar.memory.ports import TextCounter
from sidecar.memory.requests import AppendRequest
from sidecar.memory.results import AppendResult, EncodingDiffers
from sidecar.memory.tasks import CommandTasks, Done, asked

MAX_REMEMBERED_ENCODINGS = 4_096
"""Memories known to be counted with another encoding than their definition says; forgotten all at once when full."""


class AppendStore(Protocol):
    """What appending needs from `store.memory_store`."""

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
    ) -> None: ...


class AppendTally(Protocol):
    """Where appends are counted; `sidecar.metrics.Metrics` is one."""

    messages_appended: int
    tokens_appended: int
    duplicates: int

    def redacted(self, kind: str, times: int) -> None: ...


class Appending:
    """Appends of one user.

    Args:
        store: the memories.
        counter: returns the counter of an encoding; it is asked with every append.
        redactor: makes what carries out a privacy policy.
        tally: counts what was stored.
        tasks: run what takes long to count.
        max_request_messages: most messages of one append.
    """

    def __init__(
        self,
        *,
        store: AppendStore,
        counter: Callable[[str], TextCounter],
        redactor: Callable[[PrivacyPolicy], Redactor],
        tally: AppendTally,
        tasks: CommandTasks,
        max_request_messages: int,
    ) -> None:
        self._store = store
        self._counter = counter
        self._redactor = redactor
        self._tally = tally
        self._tasks = tasks
        self._max_request_messages = max_request_messages
        self._intakes: dict[str, Intake] = {}
        self._other_encodings: dict[str, str] = {}

    def append(self, request: AppendRequest, done: Done) -> None:
        """Store the messages of a request, or raise why that cannot be tried."""
        if len(request.messages) > self._max_request_messages:
            raise BadMessage(
                f"a request may have {self._max_request_messages} messages, this one has {len(request.messages)}; "
                "send them in parts"
            )
        if request.large:
            self._tasks.spawn(self._append_large(request), done)
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
        return await asked(lambda done: self._store_weighed(request, encoding, weights, done))

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
            trace=request.trace,
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
                self._tasks.spawn(self._append_large_in(encoding, request), done)
            else:
                self._store_weighed(request, encoding, self._weigh(request, encoding), done)
        except Exception as problem:  # the store calls this, and must get to the other requests of its batch
            done(problem)

    async def _append_large_in(self, encoding: str, request: AppendRequest) -> object:
        weights = await asyncio.to_thread(self._weigh, request, encoding)
        return await asked(lambda done: self._store_weighed(request, encoding, weights, done))

    def _intake(self, definition: Definition) -> Intake:
        intake = self._intakes.get(definition.id)
        if intake is None or intake.definition is not definition:
            redactor = self._redactor(definition.privacy) if definition.privacy.redacts else None
            intake = self._intakes[definition.id] = Intake(definition, redactor)
        return intake

    def forget_encoding(self, memory: Memory) -> None:
        """Count what comes next as the memory's definition says: it will be a new memory."""
        self._other_encodings.pop(memory.keys.name, None)


def _sum(weights: Sequence[int | str]) -> int:
    try:
        return sum(weights)  # type: ignore[arg-type]  # numbers, unless the definition has classes
    except TypeError:
        return sum(int(str(weight).partition(" ")[0]) for weight in weights)
