"""Memories on Redis: append, read, state, clear. One script and one round trip each.

Appends to one memory that come while another one is under way wait and leave together (group commit), so that many
writers on one memory cost few scripts. At most one batch per memory is in flight per process; that is what lets the
script recognise a batch that is sent again after the connection broke.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple, TypeVar, cast

from sidecar.errors import RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message, StoredMessage
from sidecar.memory.results import AppendResult, EncodingDiffers, FlushState, MemoryInfo, ReadResult
from sidecar.store.pipe import Argument, Pipe, Reply

MAX_BATCH_MESSAGES = 1_024
"""Messages that one batch gathers before it is closed: about 10 ms of Redis's time, which serves nobody else then."""

MAX_BATCH_CHARACTERS = 16 * 1024 * 1024
"""Text that one batch gathers: Redis copies all of it into the script, and hangs up on a command of 1 GiB."""

T = TypeVar("T")


class _Waiting(NamedTuple):
    """One append that waits for its batch."""

    messages: list[Message]
    tokens: list[int]
    done: Callable[[AppendResult | EncodingDiffers | BaseException], None]

    @property
    def characters(self) -> int:
        """Length of all its texts."""
        return sum(len(message.content) + len(message.fields) for message in self.messages)


class _Queue:
    """The appends to one memory in one encoding, in order; `flying` are those of the batch under way."""

    __slots__ = ("encoding", "flying", "memory", "waiting")

    def __init__(self, memory: Memory, encoding: str) -> None:
        self.memory = memory
        self.encoding = encoding
        self.waiting: deque[_Waiting] = deque()
        self.flying: list[_Waiting] = []


class MemoryStore:
    """The hot path to Redis.

    Args:
        pipe: where commands go.
        sidecar_id: names this process; a new one at each start, because its numbers begin anew.
        on_due: is told a memory whose mark in the outbox this process has just set.
    """

    def __init__(self, *, pipe: Pipe, sidecar_id: str, on_due: Callable[[Memory], None]) -> None:
        self._pipe = pipe
        self._op = f"op:{sidecar_id}"
        self._numbers = count(1)
        self._on_due = on_due
        self._queues: dict[tuple[str, str], _Queue] = {}

    def append(
        self,
        memory: Memory,
        messages: list[Message],
        tokens: list[int],
        encoding: str,
        done: Callable[[AppendResult | EncodingDiffers | BaseException], None],
    ) -> None:
        """Store messages in order, all or none.

        Args:
            memory: where.
            messages: at least one.
            tokens: their counts.
            encoding: what they were counted with.
            done: is called once, with the result or the exception.
        """
        key = (memory.keys.name, encoding)
        queue = self._queues.get(key)
        if queue is not None:
            queue.waiting.append(_Waiting(messages, tokens, done))
            return
        queue = self._queues[key] = _Queue(memory, encoding)
        queue.waiting.append(_Waiting(messages, tokens, done))
        self._launch(queue)

    def read(
        self,
        memory: Memory,
        *,
        tokens: int | None,
        most: int | None,
        since: str | None,
        with_summary: bool,
        touch: bool,
        done: Callable[[ReadResult | BaseException], None],
    ) -> None:
        """Read what fits; see `lua/read.lua`."""

        def answered(reply: Reply) -> None:
            done(_understood(memory, reply, _read_result))

        arguments: list[Argument] = [
            -1 if tokens is None else tokens,
            -1 if most is None else most,
            since or "",
            int(with_summary),
            (memory.definition.ttl_ms or 0) if touch else 0,
        ]
        keys = memory.keys
        self._pipe.call_script("read", (keys.log, keys.meta, keys.keep), arguments, answered, resend=True)

    def info(self, memory: Memory, done: Callable[[MemoryInfo | BaseException], None]) -> None:
        """Tell the state of a memory. O(1)."""

        def answered(reply: Reply) -> None:
            done(_understood(memory, reply, partial(_memory_info, memory)))

        keys = memory.keys
        self._pipe.call_script("info", (keys.log, keys.meta, keys.due), (keys.name,), answered, resend=True)

    def clear(self, memory: Memory, done: Callable[[int | BaseException], None]) -> None:
        """Delete a memory; the result is the number of messages that it had.

        It is not sent again when the connection breaks: messages that another client appended meanwhile would go too.
        """

        def answered(reply: Reply) -> None:
            done(reply if isinstance(reply, int) else _as_error(reply))

        keys = memory.keys
        self._pipe.call_script(
            "clear", (keys.log, keys.meta, keys.keep, keys.work, keys.due), (keys.name,), answered, resend=False
        )

    def ping(self, done: Callable[[BaseException | None], None]) -> None:
        """Ask Redis for a sign of life on the connection that MEM commands use."""
        self._pipe.call(("PING",), lambda reply: done(None if reply == b"PONG" else _as_error(reply)), resend=True)

    def _launch(self, queue: _Queue) -> None:
        """Send what waits as one batch."""
        memory = queue.memory
        definition, keys = memory.definition, memory.keys
        tokens, messages = definition.threshold_tokens, definition.threshold_messages
        arguments: list[Argument] = [
            self._op,
            next(self._numbers),
            keys.name,
            definition.ttl_ms or 0,
            -1 if tokens is None else tokens,
            -1 if messages is None else messages,
            queue.encoding,
            0,
        ]
        size = characters = 0
        crowded = len(queue.waiting) > 1  # nearly always there is one, which goes whatever its size
        while queue.waiting:
            request = queue.waiting[0]
            if crowded:
                size += len(request.messages)
                characters += request.characters
                if queue.flying and (size > MAX_BATCH_MESSAGES or characters > MAX_BATCH_CHARACTERS):
                    break
            queue.flying.append(queue.waiting.popleft())
            arguments.append(len(request.messages))
            for message, weight in zip(request.messages, request.tokens, strict=True):
                arguments += (message.role, message.content, weight, message.fields)
        arguments[7] = len(queue.flying)
        self._pipe.call_script(
            "append",
            (keys.log, keys.meta, keys.keep, keys.due),
            arguments,
            lambda reply: self._landed(queue, reply),
            resend=True,
        )

    def _landed(self, queue: _Queue, reply: Reply) -> None:
        """Answer the batch that is back, after the next one has left."""
        flown, queue.flying = queue.flying, []
        if queue.waiting:
            self._launch(queue)
        else:
            del self._queues[queue.memory.keys.name, queue.encoding]
        if not isinstance(reply, bytes):
            problem = _as_error(reply)
            for request in flown:
                request.done(problem)
            return
        words = reply.decode().split(" ")
        if words[0] == "encoding":
            for request in flown:
                request.done(EncodingDiffers(words[1]))
            return
        if words[1] == "1":
            self._on_due(queue.memory)
        for number, request in enumerate(flown):
            first, last, messages, tokens = words[2 + 4 * number : 6 + 4 * number]
            request.done(AppendResult(first, last, len(request.messages), int(messages), int(tokens), words[0]))


def _as_error(reply: Reply) -> BaseException:
    """Return the exception in a reply that is not what the script returns."""
    if isinstance(reply, BaseException):
        return reply
    return RedisRefused(f"ERR a script of memsidecar returned {type(reply).__name__}; do its versions differ?")


def _understood(memory: Memory, reply: Reply, read: Callable[[list[Reply]], T]) -> T | BaseException:
    """Return what `read` makes of a reply, or the exception in it; whoever asked must be answered in any case."""
    if not isinstance(reply, list):
        return _as_error(reply)
    try:
        return read(reply)
    except (ValueError, LookupError):
        keys = memory.keys
        return RedisRefused(f"ERR {keys.log} or {keys.meta} holds what memsidecar did not write; remove that")


def _text(value: Reply) -> str:
    """Decode what we stored ourselves; bytes that somebody else put there must not break a read."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _read_result(reply: list[Reply]) -> ReadResult:
    summary, summary_tokens, messages, tokens, more, left_out, entries = reply
    numbers = [int(_text(value)) for value in (summary_tokens, messages, tokens, left_out)]
    return ReadResult(
        summary=_text(summary) if summary else None,
        summary_tokens=numbers[0],
        messages=[_stored(entry) for entry in entries] if isinstance(entries, list) else [],
        total_messages=numbers[1],
        total_tokens=numbers[2],
        more=more == 1,
        left_out=numbers[3],
    )


def _stored(entry: Reply) -> StoredMessage:
    """Read `[id, [r, role, c, content, n, tokens(, x, fields)]]`, the order in which append.lua writes."""
    id_, pairs = cast("tuple[bytes, list[bytes]]", entry)
    fields = _text(pairs[7]) if len(pairs) > 7 else None
    return StoredMessage(id_.decode(), pairs[1].decode(), _text(pairs[3]), int(pairs[5]), fields)


def _memory_info(memory: Memory, reply: list[Reply]) -> MemoryInfo:
    now, ttl, due, first, last, *fields = (_text(value) for value in reply)
    messages, tokens, summary_tokens, kept_tokens, epoch, encoding, until, status, flushed, strategy, error = fields
    flush: FlushState = "none"
    if int(until or 0) > int(now):
        flush = "running"
    elif status == "failed":
        flush = "failed"
    elif due:
        flush = "due"
    return MemoryInfo(
        messages=int(messages or 0),
        tokens=int(tokens or 0),
        summary_tokens=int(summary_tokens or 0),
        pinned_tokens=int(kept_tokens or 0),
        limit_tokens=memory.definition.max_tokens,
        limit_messages=memory.definition.max_messages,
        flush=flush,
        flush_due_since_ms=int(float(due)) if due else None,
        last_flush_ms=int(flushed) if flushed else None,
        last_flush_strategy=strategy or None,
        last_flush_error=error or None,
        epoch=int(epoch) if epoch else None,
        ttl_ms=int(ttl) if int(ttl) >= 0 else None,
        encoding=encoding or memory.definition.encoding,
        first_id=first or None,
        last_id=last or None,
    )
