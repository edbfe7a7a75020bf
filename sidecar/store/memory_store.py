"""Memories on Redis: what changes them, what reads them, and the walk over all of them. One script and one round trip
each, but for copies (`fork`).

Changes leave through `changes`, which keeps their order and recognises repetitions; this module says what is sent and
understands what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from sidecar.errors import OverBudget, RedisRefused
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, share
from sidecar.memory.message import Message
from sidecar.memory.reading import is_slow
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import AppendResult, EncodingDiffers, FlushState, MemoryInfo, ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.batch import NO_LIMIT, Append, Weight
from sidecar.store.changes import Changes, Single, as_error
from sidecar.store.grown_reads import CANNOT, grown, most_new_tokens
from sidecar.store.kept_reads import Kept, KeptReads, Question
from sidecar.store.packed import unpacked
from sidecar.store.pipe import Argument, Pipe, Reply
from sidecar.store.whole_reads import APART, Told, WholeReads, as_messages, is_whole

T = TypeVar("T")

SAME_PARTS, OVERSIZE_PARTS, GROWN_PARTS = 1, 4, 5
"""By their number the replies of a read are told apart, which begin with any text; see `lua/read.lua`."""


class Found(NamedTuple):
    """What a read found.

    Args:
        result: what fits.
        newest_id: where `SINCE $` begins: the newest of the whole memory, "" if there is none; elsewhere "".
        cut_room: tokens left for the unit that is to be cut; `cut` is that unit, empty where there is none.
    """

    result: ReadResult
    newest_id: str
    cut_room: int
    cut: list[StoredMessage]


class MemoryStore:
    """The memories, for one user of Redis.

    Args:
        pipe: where commands go.
        changes: the lines in which changes leave, over the same pipe.
        kept_reads: what earlier reads found; other users' stores may share it.
    """

    def __init__(self, *, pipe: Pipe, changes: Changes, kept_reads: KeptReads) -> None:
        self._pipe = pipe
        self._changes = changes
        self._kept_reads = kept_reads
        self._whole_reads = WholeReads(pipe)
        self._owner = object()  # nobody gets what another user has read

    async def close(self) -> None:
        """Give up what waits for somebody's lease, and forget what was read."""
        self._kept_reads.forget(self._owner)
        await self._changes.close()

    # ---- changes ----

    def append(
        self,
        memory: Memory,
        messages: list[Message],
        weights: Sequence[Weight],
        encoding: str,
        done: Callable[[AppendResult | EncodingDiffers | BaseException], None],
        *,
        token: str = "",
        idempotent: str | None = None,
        replace: bool = False,
        trace: str = "",
    ) -> None:
        """Store messages in order, all or none; see `batch.Append` for the arguments."""
        self._changes.put(Append(memory, messages, weights, encoding, token, idempotent, replace, done, trace))

    def clear(self, memory: Memory, done: Callable[[int | BaseException], None], *, token: str = "") -> None:
        """Delete a memory; the result is the number of messages that it had.

        It is not sent again when the connection breaks: messages that another client appended meanwhile would go too.
        """
        keys = memory.keys
        arguments = (keys.name, token, memory.definition.ttl_after_clear_ms or 0)
        names = (keys.log, keys.meta, keys.keep, keys.due, keys.lock, *keys.belongings)
        self._changes.put(Single(memory, token, "clear", names, arguments, numbered=False, done=done))

    def delete(
        self,
        memory: Memory,
        ids: Sequence[str],
        done: Callable[[int | BaseException], None],
        *,
        pairs: bool = False,
        token: str = "",
    ) -> None:
        """Delete single messages, with `pairs` whole tool units; the result is the number of messages that went."""
        keys, definition = memory.keys, memory.definition
        limits = (_limit(definition.threshold_tokens), _limit(definition.threshold_messages))
        arguments: list[Argument] = [keys.name, token, int(pairs), *limits, *ids]
        names = (keys.log, keys.meta, keys.keep, keys.due, keys.lock)
        self._changes.put(Single(memory, token, "delete", names, arguments, numbered=True, done=done))

    def pin(
        self, memory: Memory, ids: Sequence[str], done: Callable[[int | BaseException], None], *, pin: bool
    ) -> None:
        """Pin messages, or no longer; the result is the number of messages for which that changed something."""
        keys = memory.keys
        names = (keys.log, keys.meta, keys.keep)
        self._changes.put(Single(memory, "", "pin", names, (int(pin), *ids), numbered=True, done=done))

    # ---- reads ----

    def read(self, request: ReadRequest, done: Callable[[Found | BaseException], None], *, wait_ms: int = 0) -> None:
        """Read what fits; see `lua/read.lua`.

        Args:
            request: what is wanted.
            done: is told what was found, `OverBudget`, or another exception.
            wait_ms: how long the caller will wait for an append if there is nothing; the append then tells.
        """
        memory, definition = request.memory, request.memory.definition
        keys, budget = memory.keys, request.tokens
        life = (definition.ttl_ms or 0) if request.touch and definition.mode == "read-write" else -1
        noted = (keys.seen,) if request.touch and definition.tracks_reads else ()
        kept_share, summary_share, *class_shares = _shares(definition, budget)
        bounds: tuple[Argument, ...] = (
            _limit(budget), _limit(request.count), request.since or "", request.before or "", int(request.with_summary)
        )  # fmt: skip
        choice: tuple[Argument, ...] = (request.oversize, f" {' '.join(request.roles)} " if request.roles else "")
        shares = (kept_share, summary_share, *class_shares)
        # Of a read that notes what it returned, waits or cuts, each is another one.
        anew = noted or is_slow(request) or not self._kept_reads.keeps
        asked = None if anew else (self._owner, keys.log, bounds, choice, shares, request.format)
        kept = None if asked is None else self._kept_reads.get(asked)
        version = "-" if asked is None else "" if kept is None else kept.version
        growth = CANNOT if kept is None else most_new_tokens(request, kept)

        def understood(reply: list[Reply] | Told) -> Any:
            if kept is not None and len(reply) == SAME_PARTS:
                return Found(kept.result, "", 0, [])
            if isinstance(reply, Told):
                found: Any = _found_all(request, reply)
            elif kept is not None and len(reply) == GROWN_PARTS:
                found = _found_more(request, kept, reply)
            else:
                found = _found(request, reply)
            if asked is not None and isinstance(found, Found):
                told = reply.version if isinstance(reply, Told) else reply[-1]
                self._keep(asked, _text(told), found.result)
            return found

        def arguments(growth: int) -> tuple[Argument, ...]:
            return (*bounds, life, *choice, wait_ms, kept_share, summary_share, version, growth, *class_shares)

        def answered(reply: Reply | Told) -> None:
            done(_understood(memory, reply, understood))

        def read() -> None:
            self._pipe.call_script(
                "read",
                (keys.log, keys.meta, keys.keep, *noted),
                arguments(growth),
                answered,
                resend=True,  # also where it notes that it was there: twice says the same
            )

        if kept is None and not noted and not wait_ms and is_whole(request) and self._whole_reads.suits(memory):
            self._whole_reads.read(memory, arguments(APART), answered, otherwise=read)
        else:
            read()

    def _keep(self, asked: Question, version: str, result: ReadResult) -> None:
        if version:
            self._kept_reads.put(asked, version, result)
        else:
            self._kept_reads.drop(asked)

    def info(
        self, memory: Memory, done: Callable[[MemoryInfo | BaseException], None], *, may_remove: bool = False
    ) -> None:
        """Tell the state of a memory; with `may_remove` only to a user who may remove messages from it. O(1)."""

        def answered(reply: Reply) -> None:
            done(_understood(memory, reply, partial(_memory_info, memory)))

        keys = memory.keys
        names = (keys.log, keys.meta, keys.due, keys.lock)
        self._pipe.call_script("info", names, (keys.name, int(may_remove)), answered, resend=True)


def _limit(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit


def _shares(definition: Definition, budget: int | None) -> list[Argument]:
    """Return the largest shares of a budget: of what is kept, of the summary, and of each class."""
    allocation = definition.token_allocation
    if budget is None or not allocation:
        return [NO_LIMIT, NO_LIMIT]
    short_term = allocation.get("short_term")
    kept = allocation.get("system")
    if kept is None and short_term is not None:
        kept = 1 - short_term
    shares: list[Argument] = [
        NO_LIMIT if kept is None else int(budget * kept),
        _limit(share(budget, allocation["long_term"]) if "long_term" in allocation else None),
    ]
    for name, part in allocation.items():
        if name not in ("system", "short_term", "long_term"):
            shares += (name, int(budget * part))
    return shares


def _understood(memory: Memory, reply: Reply | Told, read: Callable[[Any], T]) -> T | BaseException:
    """Return what `read` makes of a reply, or the exception in it; whoever asked must be answered in any case."""
    if not isinstance(reply, list | Told):
        return as_error(reply)
    try:
        return read(reply)
    except (ValueError, LookupError):
        keys = memory.keys
        return RedisRefused(f"ERR {keys.log} or {keys.meta} holds what memsidecar did not write; remove that")


def _text(value: Reply) -> str:
    """Decode what we stored ourselves; bytes that somebody else put there must not break a read."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _found(request: ReadRequest, reply: list[Reply]) -> Any:
    if len(reply) == OVERSIZE_PARTS:
        id_, weight, left = (_text(value) for value in reply[1:4])
        return OverBudget(
            f"message {id_} (with what belongs to its tool call) has {weight} tokens, and {left} are left of the "
            "budget; raise TOKENS, or take OVERSIZE SKIP or TRUNCATE"
        )
    *totals, more, left_out, entries, newest, cut, _ = reply
    result = _result(request, totals, unpacked(cast("bytes", entries)))
    result.more, result.left_out = more == 1, int(_text(left_out))
    room, unit = cast("list[Any]", cut) if cut else (0, b"")
    return Found(result, _text(newest), room, unpacked(unit))


def _found_all(request: ReadRequest, told: Told) -> Found:
    return Found(_result(request, told.totals, as_messages(told.entries)), "", 0, [])


def _result(request: ReadRequest, totals: Sequence[Reply], messages: list[StoredMessage]) -> ReadResult:
    """Return a result with nothing left out; `totals` as the script begins its reply."""
    summary, summary_tokens, total_messages, total_tokens = totals
    return ReadResult(
        summary=_text(summary) if summary else None,
        summary_tokens=int(_text(summary_tokens)),
        messages=messages,
        total_messages=int(_text(total_messages)),
        total_tokens=int(_text(total_tokens)),
        more=False,
        left_out=0,
        format=request.format,
    )


def _found_more(request: ReadRequest, kept: Kept, reply: list[Reply]) -> Found:
    _, entries, messages, tokens, _ = reply
    totals = (int(_text(messages)), int(_text(tokens)))
    return Found(grown(request, kept, unpacked(cast("bytes", entries)), totals), "", 0, [])


def _memory_info(memory: Memory, reply: list[Reply]) -> MemoryInfo:
    now, ttl, due, first, last, locked, *fields = (_text(value) for value in reply)
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
        locked=locked == "1",
        due_for_ms=max(0, int(now) - int(float(due))) if due else None,
    )
