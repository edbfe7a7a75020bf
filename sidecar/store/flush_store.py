"""What a flush asks of Redis: one method per script, and paged reads of the log.

The cold path: milliseconds do not matter here, so it uses redis-py. The counterpart is `sidecar.flush.steps`,
which decides what is asked; the other store, `memory_store`, serves appends and reads. Nothing here plans or
summarises. Every script is safe to send twice, because whoever gets no answer asks again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from redis.asyncio import Redis

from sidecar.memory.keys import KeySpace
from sidecar.memory.ports import Partial
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.entries import to_message, to_number, to_text
from sidecar.store.flush_copies import FlushCopies
from sidecar.store.flush_words import (
    NO_LIMIT,
    RECORD_FIELDS,
    BeginReply,
    CommitReply,
    Deed,
    Limits,
    RawFacts,
    Running,
    Totals,
    Work,
    as_record,
)
from sidecar.store.lease import WORK_TTL_MS, Lease, work_keys
from sidecar.store.script_client import Argument, ScriptClient

FACTS_PAGE = 100
"""Messages per call of the facts script: 0.2 to 0.4 ms of Redis's one thread (on Redis 6.2). Page follows page, so
nearly every append that comes meanwhile waits for a part of one."""

FACTS_PAGE_BYTES = 1 << 20
"""Bytes of messages after which the facts script ends a page early: large ones must not hold Redis up."""

SEEN_PAGE = 500
"""Access times per ZSCAN, and those that one ZREM forgets: a fraction of a millisecond of Redis's one thread."""

CONTENT_PAGE = 100
"""Messages per read of contents. Redis holds one page in its output buffer: 3.3 MB at 32 KiB a message."""


class FlushStore:
    """The flush's view of the memories on one Redis.

    Every method raises `RedisRefused`, `Unavailable` or `Uncertain`; see `redis_errors`.

    Args:
        redis: a client that answers bytes (`decode_responses=False`).
        space: where this deployment keeps its memories.

    Attributes:
        copies: what a commit needs beside the memory.
    """

    def __init__(self, redis: Redis, space: KeySpace) -> None:
        self.copies = FlushCopies(redis, space)
        self._client = ScriptClient(redis)
        self._space = space

    async def begin(
        self,
        definition: str,
        instance: str,
        *,
        run_id: str,
        lease_ms: int,
        force: bool,
        limits: Limits,
        target_tokens: int | None = None,
    ) -> BeginReply:
        """Open a flush. O(1).

        Args:
            run_id: who flushes; the same again for a repeated begin.
            lease_ms: how long the run counts as alive without `renew`.
            force: flush below the limits too.
            limits: above what the memory is due.
            target_tokens: above what this flush is due, instead of `limits`; None for those.
        """
        keys = self._space.keys(definition, instance)
        target = NO_LIMIT if target_tokens is None else target_tokens
        arguments: list[Argument] = [run_id, lease_ms, int(force), *limits.arguments, keys.name, target]
        code, *rest = await self._client.script("begin", [keys.meta, keys.log, keys.due], arguments)
        match code.decode():
            case "begun":
                epoch, fence, generation, last_id, *numbers = rest
                snapshot = (epoch.decode(), int(fence), int(generation), last_id.decode())
                return BeginReply("begun", "", None, *snapshot, *(int(number) for number in numbers))
            case "joined":
                return BeginReply("joined", holder=rest[0].decode())
            case "done":
                return BeginReply("done", record=as_record(rest))
            case "not-due":
                return BeginReply("not-due", messages=int(rest[0]), tokens=int(rest[1]))
            case other:
                return BeginReply(other)

    async def facts(self, definition: str, instance: str, last_id: str) -> AsyncIterator[list[RawFacts]]:
        """Yield the messages up to `last_id` in pages, without contents. O(n), `FACTS_PAGE` per call."""
        log = self._space.keys(definition, instance).log
        start = "-"
        while start:
            after, *flat = await self._client.script("facts", [log], [start, last_id, FACTS_PAGE, FACTS_PAGE_BYTES])
            yield [
                RawFacts(id_.decode(), to_text(role), to_number(tokens), to_text(fields), to_text(kind), text_bytes)
                for id_, role, tokens, fields, kind, text_bytes in zip(*[iter(flat)] * 6, strict=True)
            ]
            start = f"({after.decode()}" if after else ""

    async def kept_ids(self, definition: str, instance: str) -> frozenset[str]:
        """Return the ids of the messages that no flush removes. O(kept)."""
        ids = await self._client.command("ZRANGE", self._space.keys(definition, instance).keep, 0, -1)
        return frozenset(id_.decode() for id_ in ids)

    async def seen(self, definition: str, instance: str) -> dict[str, int]:
        """Return when a read last returned each message, in ms by Redis's clock, by id. O(n), `SEEN_PAGE` per call.

        Only memories of a definition that `tracks_reads` have such times. Some may be of messages that are gone.
        """
        key = self._space.keys(definition, instance).seen
        times: dict[str, int] = {}
        cursor = None
        while cursor != 0:
            cursor, page = await self._client.command("ZSCAN", key, cursor or 0, "COUNT", SEEN_PAGE)
            times.update((id_.decode(errors="replace"), int(score)) for id_, score in page)
        return times

    async def forget_seen(self, definition: str, instance: str, ids: Sequence[str]) -> None:
        """Remove the access times of messages that are gone. O(ids · log n), `SEEN_PAGE` per call."""
        key = self._space.keys(definition, instance).seen
        for at in range(0, len(ids), SEEN_PAGE):
            await self._client.command("ZREM", key, *ids[at : at + SEEN_PAGE])

    async def contents(
        self, definition: str, instance: str, first: str, last: str
    ) -> AsyncIterator[list[StoredMessage]]:
        """Yield the messages from `first` to `last`, both included, in pages of `CONTENT_PAGE`."""
        log = self._space.keys(definition, instance).log
        start, full = first, True
        while full:
            entries = await self._client.command("XRANGE", log, start, last, "COUNT", CONTENT_PAGE)
            page = [to_message(id_.decode(), fields) for id_, fields in entries]
            if page:
                yield page
                start = f"({page[-1].id}"
            full = len(page) == CONTENT_PAGE

    async def summary(self, definition: str, instance: str) -> str:
        """Return the present summary, "" if there is none."""
        return to_text(await self._client.command("HGET", self._space.keys(definition, instance).meta, "summary"))

    async def totals(self, definition: str, instance: str) -> Totals:
        """Return what a memory holds. O(1)."""
        meta = self._space.keys(definition, instance).meta
        numbers = await self._client.command("HMGET", meta, "messages", "tokens", "summary_tokens")
        return Totals(*(int(number or 0) for number in numbers))

    async def stage_plan(self, lease: Lease, plan: bytes) -> tuple[str, bytes]:
        """Lay a plan aside. Returns the script's code, and with `staged` the plan that counts: the first."""
        code, *rest = await self._stage(lease, "plan", plan)
        return code.decode(), rest[0] if rest else b""

    async def stage_summary(self, lease: Lease, summary: str, tokens: int) -> str:
        """Lay a summary aside; `tokens` is its weight as a message. Returns the script's code."""
        reply = await self._stage(lease, "summary", summary, tokens)
        return to_text(reply[0])

    async def stage_partial(self, lease: Lease, partial: Partial) -> str:
        """Lay aside how far the summary has come. Returns the script's code."""
        reply = await self._stage(lease, "partial", partial.text, partial.messages)
        return to_text(reply[0])

    async def work(self, definition: str, instance: str, run_id: str) -> Work | None:
        """Return what the run has staged, None if there is nothing (any more)."""
        key = self._space.keys(definition, instance).work
        names = ("run", "plan", "summary_tokens", "partial", "partial_messages")
        run, plan, tokens, partial, messages = await self._client.command("HMGET", key, *names)
        if to_text(run) != run_id or plan is None:
            return None
        return Work(plan, None if tokens is None else int(tokens), Partial(to_text(partial), int(messages or 0)))

    async def commit(
        self,
        lease: Lease,
        deed: Deed,
        *,
        generation: int,
        begun_ms: int,
        limits: Limits,
        ttl_ms: int | None,
        undo_ttl_ms: int | None = None,
    ) -> CommitReply:
        """Carry out what was planned and prepared, all of it or nothing.

        In place O(messages that go): 0.06 µs per message that is trimmed at the head of the log, 2 µs per message
        behind one that stays, such as the system prompt. With a log made anew O(1). Redis serves nobody else meanwhile.

        Refused with `locked` while somebody holds the lease on the memory, and with `behind` where the new log lacks
        more than the script will copy.

        Args:
            lease: of the run that staged the plan.
            deed: what is done.
            generation, begun_ms: as `begin` returned them.
            limits: above what the memory stays due.
            ttl_ms: life time of the memory from now; None means that it never expires.
            undo_ttl_ms: how long what goes is kept for an undo; None: not at all.
        """
        keys = self._space.keys(lease.definition, lease.instance)
        arguments: list[Argument] = [
            *lease.proof,
            generation,
            begun_ms,
            *limits.arguments,
            keys.name,
            ttl_ms or 0,
            undo_ttl_ms or 0,
            *deed.arguments,
        ]
        names = [
            keys.log,
            keys.meta,
            keys.keep,
            keys.due,
            keys.lock,
            *work_keys(keys)[1:],
            keys.undo,
            keys.was,
            keys.seen,
        ]
        code, *rest = await self._client.script("commit", names, arguments)
        if code == b"locked":
            return CommitReply("locked", left_ms=int(rest[0]))
        return CommitReply(code.decode(), as_record(rest) if rest else None)

    async def fail(self, lease: Lease, *, begun_ms: int, strategy: str, error: str) -> int | None:
        """Give the flush up. O(1). Returns its duration in ms, None if it was no longer this run's."""
        keys = self._space.keys(lease.definition, lease.instance)
        duration = await self._client.script("fail", work_keys(keys), [*lease.proof, begun_ms, strategy, error])
        return None if duration < 0 else int(duration)

    async def renew(self, lease: Lease, lease_ms: int) -> bool:
        """Extend the lease to `lease_ms` from now. O(1). False if the flush is no longer this run's."""
        keys = self._space.keys(lease.definition, lease.instance)
        return bool(await self._client.script("renew", work_keys(keys), [*lease.proof, lease_ms, WORK_TTL_MS]))

    async def running(self, definition: str, instance: str) -> Running:
        """Return who flushes the memory now, and what the last flush did. O(1)."""
        meta = self._space.keys(definition, instance).meta
        holder, until, *record = await self._client.command("HMGET", meta, "flush_run", "flush_until", *RECORD_FIELDS)
        seconds, micros = await self._client.command("TIME")
        expired = int(until or 0) <= seconds * 1000 + micros // 1000
        return Running(to_text(holder), expired, as_record([0, *record]))

    async def reachable(self) -> bool:
        """Tell whether Redis answers now."""
        return bool(await self._client.command("PING"))

    async def _stage(self, lease: Lease, kind: str, *value: Argument) -> list[bytes]:
        keys = self._space.keys(lease.definition, lease.instance)
        reply: list[bytes] = await self._client.script(
            "stage", work_keys(keys), [*lease.proof, WORK_TTL_MS, kind, *value]
        )
        return reply
