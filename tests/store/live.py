"""The store as the sidecar runs it: over the real multiplexer, on a real Redis. Futures instead of callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, FlushPolicy
from sidecar.memory.message import Message
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import AppendResult, EncodingDiffers, MemoryInfo, ReadResult
from sidecar.metrics import Metrics
from sidecar.net.dialer import Dialer
from sidecar.net.endpoint import RedisEndpoint
from sidecar.net.multiplexer import Multiplexer
from sidecar.net.redis_client import redis_client
from sidecar.resp.watched import Credentials
from sidecar.store.changes import Changes
from sidecar.store.kept_reads import KeptReads
from sidecar.store.locks import LockManager
from sidecar.store.memory_store import Found, MemoryStore
from sidecar.store.pipe import Reply
from sidecar.store.wakeups import Wakeups
from tests.flush.memories import SPACE, Entry
from tests.support.waiting import DIAL_LIMIT_S

T = TypeVar("T")

ENCODING = "words"
"""What the tests say their counts were made with."""

ENDLESS = Definition(id="endless", max_tokens=None)
"""Never due, never expires."""

DUE = Definition(id="due", max_tokens=1_000, flush=FlushPolicy(threshold=0.8))
"""Due above 800 tokens."""

MANY = Definition(id="many", max_tokens=None, max_messages=10, flush=FlushPolicy(threshold=0.8))
"""Due above 8 messages."""

SHORT = Definition(id="short", max_tokens=None, ttl_ms=3_600_000)
"""Lives for an hour."""


def memory(definition: Definition = ENDLESS, instance: str = "i") -> Memory:
    """Return the address of a memory."""
    return Memory(definition, instance, SPACE.keys(definition.id, instance))


class LiveStore:
    """A store with a multiplexer of its own; use with `async with`.

    Args:
        url: the Redis.
        sidecar_id: as which process it writes.
        deadline_s: for each command, reconnects included.
        user: name and password, if it logs in.
    """

    def __init__(
        self, url: str, *, sidecar_id: str = "a", deadline_s: float = 30.0, user: tuple[str, str] | None = None
    ) -> None:
        self.due: list[Memory] = []
        self.traces: list[str] = []
        self.reconnects = 0
        self.answered = 0
        endpoint = RedisEndpoint.parse(url)
        self.pipe = Multiplexer(
            Dialer(endpoint, connect_timeout_s=DIAL_LIMIT_S).connect,
            credentials=Credentials(*(each.encode() for each in user)) if user else None,
            database=endpoint.database,
            deadline_s=deadline_s,
            on_reconnect=self._reconnected,
        )
        name, password = user or (None, None)
        self.dialer = Dialer(endpoint, connect_timeout_s=DIAL_LIMIT_S)
        self.client = redis_client(self.dialer, username=name, password=password, database=endpoint.database)
        self.wakeups = Wakeups(self.client)
        self.tally = Metrics()
        self.changes = Changes(
            pipe=self.pipe,
            sidecar_id=sidecar_id,
            on_due=self._marked,
            wakeups=self.wakeups,
            tally=self.tally,
        )
        self.kept_reads = KeptReads()
        self.store = MemoryStore(pipe=self.pipe, changes=self.changes, kept_reads=self.kept_reads)
        self.locks = LockManager(self.pipe, self.wakeups, self.tally)

    async def __aenter__(self) -> LiveStore:
        self._running = [
            asyncio.create_task(self.pipe.run(), name="multiplexer"),
            asyncio.create_task(self.wakeups.run(), name="wakeups"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.changes.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.client.aclose()
        await self.dialer.close()

    def _reconnected(self) -> None:
        self.reconnects += 1

    def ping(self, done: Callable[[Reply], None]) -> None:
        """Ask Redis for a sign of life."""
        self.pipe.call(("PING",), done, resend=True)

    def sent(self, call: Callable[[Callable[[T | BaseException], None]], None]) -> asyncio.Future[T]:
        """Make a call now; the future has its answer. A second answer to the same call would raise."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(answer: T | BaseException) -> None:
            self.answered += 1
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        call(done)
        return future

    def start(
        self, where: Memory, entries: Sequence[Entry], *, encoding: str = ENCODING, **options: Any
    ) -> asyncio.Future[AppendResult | EncodingDiffers]:
        """Append without waiting."""
        messages = [Message(entry[0], entry[1], entry[3] if len(entry) > 3 else "") for entry in entries]
        tokens = [entry[2] for entry in entries]
        return self.sent(lambda done: self.store.append(where, messages, tokens, encoding, done, **options))

    def _marked(self, memory: Memory, trace: str) -> None:
        self.due.append(memory)
        self.traces.append(trace)

    async def append(self, where: Memory, *entries: Entry, **options: Any) -> AppendResult:
        """Append and wait; the memory must be in `ENCODING`. Options are those of `MemoryStore.append`."""
        result = await self.start(where, entries, **options)
        assert isinstance(result, AppendResult)
        return result

    async def read(
        self,
        where: Memory,
        *,
        tokens: int | None = None,
        most: int | None = None,
        since: str | None = None,
        with_summary: bool = True,
        touch: bool = False,
        store: MemoryStore | None = None,
    ) -> ReadResult:
        """Read and wait; through another store if one is given."""
        request = ReadRequest(where, tokens=tokens, count=most, since=since, with_summary=with_summary, touch=touch)
        found: Found = await self.sent(lambda done: (store or self.store).read(request, done))
        return found.result

    async def find(self, request: ReadRequest, *, wait_ms: int = 0) -> Found:
        """Read as asked and wait."""
        return await self.sent(lambda done: self.store.read(request, done, wait_ms=wait_ms))

    async def info(self, where: Memory) -> MemoryInfo:
        """Ask for the state and wait."""
        return await self.sent(lambda done: self.store.info(where, done))

    async def all_answered(self) -> None:
        """Wait for the answers to everything that was sent before."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.ping(answer.set_result)
        assert await answer == b"PONG"

    async def clear(self, where: Memory, *, token: str = "") -> int:
        """Clear and wait."""
        return await self.sent(lambda done: self.store.clear(where, done, token=token))

    async def delete(self, where: Memory, *ids: str, pairs: bool = False, token: str = "") -> int:
        """Delete messages and wait."""
        return await self.sent(lambda done: self.store.delete(where, ids, done, pairs=pairs, token=token))

    async def pin(self, where: Memory, *ids: str, pin: bool = True) -> int:
        """Pin messages, or no longer, and wait."""
        return await self.sent(lambda done: self.store.pin(where, ids, done, pin=pin))

    async def append_script(self, where: Memory, number: int, entries: Sequence[Entry], *, op: str = "op:z") -> Reply:
        """Run append.lua with a batch number of the caller's choice, as one request."""
        definition = where.definition
        limits = [-1 if limit is None else limit for limit in (definition.threshold_tokens, None)]
        arguments: list[Any] = [
            op, number, where.keys.name, definition.ttl_ms or 0, *limits, ENCODING, "", "", 1,
            len(entries),
        ]  # fmt: skip
        for role, content, tokens, *fields in entries:
            arguments += [role, content, tokens, fields[0] if fields else ""]
        keys = (where.keys.log, where.keys.meta, where.keys.keep, where.keys.due, where.keys.lock)
        return await self.sent(lambda done: self.pipe.call_script("append", keys, arguments, done, resend=False))


async def change(redis: Redis, where: Memory, fields: Mapping[str, str | int]) -> None:
    """Set fields of a memory's meta, past our own store."""
    mapping: Any = dict(fields)
    await redis.hset(where.keys.meta, mapping=mapping)


async def score(redis: Redis, key: str, member: str) -> float:
    """Return the score of a member that must be there."""
    found = await redis.zscore(key, member)
    assert found is not None
    return found


async def calls(redis: Redis, command: str) -> int:
    """Return how often Redis has executed `command` since its statistics were reset."""
    statistics: Any = await redis.info("commandstats")
    found: int = statistics.get(f"cmdstat_{command}", {}).get("calls", 0)
    return found
