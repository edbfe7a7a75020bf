"""A memory on a real Redis, written by the real append script, and small implementations of our own ports.

Used by the tests of the flush and of its store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, FlushPolicy
from sidecar.memory.keys import KeySpace
from sidecar.memory.message import Message
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics
from sidecar.metrics.collector import MetricsCollector
from sidecar.store import scripts
from sidecar.store.batch import Append, call, fixed
from sidecar.store.flush_words import Limits
from sidecar.store.lease import Lease

SPACE = KeySpace()
"""Where the tests keep their memories."""

CHAT = Definition(
    id="chat", max_tokens=1_000, flush=FlushPolicy(strategy="fifo", threshold=0.8, target=0.5, summary_tokens=100)
)
"""Due above 800 tokens, brought down to 500, without a summary."""

SUMMED = Definition(
    id="summed",
    max_tokens=1_000,
    ttl_ms=3_600_000,
    flush=FlushPolicy(strategy="hybrid_summary", threshold=0.8, target=0.5, summary_tokens=100),
)
"""The same with a summary of at most 100 tokens, and a life of one hour."""

READ = Definition(id="read", max_tokens=1_000, flush=FlushPolicy(strategy="lru", threshold=0.8, target=0.5))
"""The same as `CHAT`, by when a message was last read."""

DEFINITIONS = {definition.id: definition for definition in (CHAT, SUMMED, READ)}

Entry = tuple[str, str, int] | tuple[str, str, int, str]
"""Role, content, tokens, and the other fields as JSON."""

HOLDER = "the-holder"
"""Token of whoever holds the lease on a memory."""

_numbers = count(1)


def talk(messages: int, tokens: int = 50, content: str = "some text") -> list[Entry]:
    """Return a conversation of `messages` turns of `tokens` each."""
    return [("user" if turn % 2 == 0 else "assistant", f"{content} {turn}", tokens) for turn in range(messages)]


class LiveMemory:
    """One memory, seen past our own store."""

    def __init__(self, redis: Redis, definition: Definition = CHAT, instance: str = "i") -> None:
        self.redis = redis
        self.definition = definition
        self.instance = instance
        self.keys = SPACE.keys(definition.id, instance)

    @property
    def address(self) -> tuple[str, str]:
        """Definition and instance, the first arguments of most calls."""
        return self.definition.id, self.instance

    @property
    def limits(self) -> Limits:
        """The thresholds of its definition."""
        return Limits(self.definition.threshold_tokens, self.definition.threshold_messages)

    async def append(self, entries: Sequence[Entry], *, batch: int = 500) -> list[str]:
        """Append as MEMAPPEND does, in batches, and return the new ids."""
        before = await self.redis.xlen(self.keys.log)
        for start in range(0, len(entries), batch):
            await self._append(entries[start : start + batch])
        return (await self.ids())[before:]

    async def _append(self, entries: Sequence[Entry], *, replace: bool = False) -> None:
        messages = [Message(role, content, fields[0] if fields else "") for role, content, _, *fields in entries]
        weights = [entry[2] for entry in entries]
        where = Memory(self.definition, self.instance, self.keys)
        append = Append(where, messages, weights, self.definition.encoding, "", None, replace, lambda _: None)
        keys, arguments = call([append], fixed(self.definition), "op:test", next(_numbers))
        await self._run("append", keys, arguments)

    async def _run(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        script: Any = self.redis.eval(scripts.load(name).source, len(keys), *keys, *arguments)
        await script

    async def clear(self) -> None:
        """Delete the memory as MEMCLEAR does."""
        keys = [
            self.keys.log, self.keys.meta, self.keys.keep, self.keys.due, self.keys.lock, *self.keys.belongings
        ]  # fmt: skip
        await self._run("clear", keys, [self.keys.name, "", 0])

    async def write(self, entries: Sequence[Entry]) -> list[str]:
        """Replace the content as MEMWRITE does, and return the new ids."""
        await self._append(entries, replace=True)
        return await self.ids()

    async def delete(self, *ids: str, pairs: bool = False) -> None:
        """Delete messages as MEMDEL does."""
        keys = [self.keys.log, self.keys.meta, self.keys.keep, self.keys.due, self.keys.lock]
        limits = [-1 if limit is None else limit for limit in self.limits]
        await self._run("delete", keys, ["op:test", next(_numbers), self.keys.name, "", int(pairs), *limits, *ids])

    async def pin(self, *ids: str) -> None:
        """Pin messages as MEMPIN does."""
        await self._run("pin", [self.keys.log, self.keys.meta, self.keys.keep], ["op:test", next(_numbers), 1, *ids])

    async def lock(self, lease_ms: int = 600_000) -> None:
        """Take the lease as MEMLOCK does."""
        await self._run("lock", [self.keys.meta, self.keys.lock], [HOLDER, lease_ms, "acquire"])

    async def unlock(self) -> None:
        """Release it as MEMUNLOCK does."""
        await self._run("unlock", [self.keys.meta, self.keys.lock], [HOLDER, self.keys.wake])

    async def mark(self) -> None:
        """Put the memory into the outbox, whatever its size."""
        await self.redis.zadd(self.keys.due, {self.keys.name: 1})

    async def marked(self) -> bool:
        """Tell whether the memory is in the outbox."""
        return await self.redis.zscore(self.keys.due, self.keys.name) is not None

    async def kept(self) -> set[str]:
        """Return the ids of the messages that no flush may remove."""
        ids: Any = await self.redis.zrange(self.keys.keep, 0, -1)
        return {id_.decode() for id_ in ids}

    async def ids(self) -> list[str]:
        """Return the ids of all messages."""
        return [message.id for message in await self.messages()]

    async def messages(self) -> list[StoredMessage]:
        """Return all messages."""
        found = []
        entries: Any = await self.redis.xrange(self.keys.log)
        for id_, fields in entries:
            text = {name.decode(): value.decode() for name, value in fields.items()}
            found.append(StoredMessage(id_.decode(), text["r"], text["c"], int(text["n"]), text.get("x")))
        return found

    async def meta(self) -> dict[str, str]:
        """Return all fields of `meta`."""
        fields: Any = await self.redis.hgetall(self.keys.meta)
        return {name.decode(): value.decode() for name, value in fields.items()}

    async def state(self) -> tuple[Any, ...]:
        """Return everything that belongs to the memory, for "nothing was changed": signs of life do not count."""
        staged: Any = await self.redis.hgetall(self.keys.work)
        meta = await self.meta()
        meta.pop("flush_until", None)
        return await self.messages(), meta, staged, await self.marked()

    async def assert_totals(self) -> None:
        """Fail unless the stored totals are those of the log."""
        messages, meta = await self.messages(), await self.meta()
        stored = int(meta.get("messages", 0)), int(meta.get("tokens", 0))
        assert stored == (len(messages), sum(message.tokens for message in messages))

    async def lose_lease(self) -> None:
        """Let the lease of the running flush run out, as if its process had hung for that long."""
        await self.redis.hset(self.keys.meta, "flush_until", "1")

    def lease(self, run_id: str, epoch: str, fence: int) -> Lease:
        """Return the lease of a run on this memory."""
        return Lease(*self.address, run_id, epoch, fence)


class WordCounter:
    """The port `TextCounter`: a word is a token."""

    encoding = "words"
    engine = "word"

    def count(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())


class NotingSummariser:
    """The port `Summariser`: says which messages it stands for, and notes what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[StoredMessage], int]] = []

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        """Return one short sentence."""
        self.calls.append((earlier, list(messages), budget))
        said = f"{earlier} then" if earlier else "first"
        text = f"{said} {len(messages)} messages"
        assert count(text) <= budget
        return text


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """Return a sample as Prometheus would read it, 0 if it is not there; `name` without `memsidecar_`."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics))
    return registry.get_sample_value(f"memsidecar_{name}", labels) or 0.0
