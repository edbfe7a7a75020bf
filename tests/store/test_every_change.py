"""Everything that changes memories, in any order: after each step Redis holds what the model says, totals included, and
whoever has read the memory before reads what is there now.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import Locked, MemsidecarError, NotEmpty, OverBudget, StaleLock
from sidecar.memory.addressing import Memory
from sidecar.memory.definition import Definition, FlushPolicy, LockPolicy
from sidecar.memory.message import Message
from sidecar.memory.requests import ForkRequest
from sidecar.memory.results import AppendResult
from sidecar.store.flush_store import FlushStore
from sidecar.store.fork import Forks
from sidecar.store.kept_reads import KeptReads
from sidecar.store.memory_store import MemoryStore
from tests.flush.memories import SPACE, LiveMemory
from tests.store.committing import Flush
from tests.store.live import ENCODING, LiveStore, memory
from tests.store.memory_model import Model, New
from tests.store.model import Id

_AT_ONCE: dict[str, Any] = {"locking": LockPolicy(wait_ms=0), "ttl_after_clear_ms": 600_000}
DEFINITIONS = (
    Definition("trims", max_tokens=90, max_messages=8, overflow="trim", type="buffer", ttl_ms=3_600_000, **_AT_ONCE),
    Definition(
        "rejects", max_tokens=90, max_messages=8, overflow="reject", flush=FlushPolicy(threshold=0.5), **_AT_ONCE
    ),
    Definition("allows", max_tokens=60, overflow="allow", flush=FlushPolicy(threshold=0.5), **_AT_ONCE),
)
KIND = "facts"

QUESTIONS: tuple[dict[str, Any], ...] = (
    {}, {"most": 3}, {"tokens": 60}, {"tokens": 60, "most": 2}, {"since": "0-1", "most": 2}, {"with_summary": False}
)  # fmt: skip

_instances, _runs, _texts = count(), count(), count()

PLACES = st.integers(0, len(DEFINITIONS) - 1)
PICKS = st.lists(st.integers(0, 12), max_size=3)
LEASED = st.sampled_from(["", "", "", "held", "held", "lost"])
MESSAGES = st.lists(
    st.one_of(
        st.builds(New, st.sampled_from(["user", "assistant", "system"]), st.integers(1, 30)),
        st.builds(New, st.just("user"), st.integers(1, 30), kind=st.just(KIND), critical=st.booleans()),
        st.builds(New, st.just("assistant"), st.integers(1, 30), calls=st.sampled_from([("a",), ("b",), ("a", "b")])),
        st.builds(New, st.just("tool"), st.integers(1, 30), answers=st.sampled_from(["a", "b", "stray"])),
    ),
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), PLACES, MESSAGES, LEASED, st.sampled_from([None, None, "x", "y"])),
        st.tuples(st.just("append"), PLACES, MESSAGES, LEASED, st.none()),
        st.tuples(st.just("write"), PLACES, MESSAGES, LEASED, st.sampled_from([None, None, "x", "y"])),
        st.tuples(st.just("delete"), PLACES, PICKS, LEASED, st.booleans()),
        st.tuples(st.just("pin"), PLACES, PICKS, st.booleans()),
        st.tuples(st.just("clear"), PLACES, LEASED),
        st.tuples(st.just("fork"), PLACES, PLACES, st.none() | st.integers(0, 12)),
        st.tuples(st.just("lock"), PLACES),
        st.tuples(st.just("unlock"), PLACES),
        st.tuples(st.just("expire"), PLACES),
        st.tuples(st.just("flush"), PLACES, PICKS, st.booleans(), st.none() | MESSAGES),
    ),
    max_size=25,
)


class Driver:
    """Makes each step on Redis and in the model, and compares."""

    def __init__(self, live: LiveStore, redis: Redis) -> None:
        self._live = live
        self._redis = redis
        self._forgetful = MemoryStore(pipe=live.pipe, changes=live.changes, kept_reads=KeptReads(0))
        self._forks = Forks(live.pipe, live.locks)
        instance = f"i{next(_instances)}"
        self._where = [memory(definition, instance) for definition in DEFINITIONS]
        self._models = [Model(definition) for definition in DEFINITIONS]
        self._firsts: dict[tuple[int, str], AppendResult] = {}

    async def step(self, what: str, place: int, *how: Any) -> None:
        event(what)
        await getattr(self, f"_{what}")(self._where[place], self._models[place], *how)
        for where, model in zip(self._where, self._models, strict=True):
            await self._compare(where, model)

    # ---- steps ----

    async def _append(
        self, where: Memory, model: Model, new: list[New], leased: str, idempotent: str | None, afresh: bool = False
    ) -> None:
        token = self._token(model, leased)
        call = self._send(where, new, token=token, idempotent=idempotent, replace=afresh)
        first = self._firsts.get((id(model), idempotent or ""))
        if first is not None:
            assert await call == replace(first, duplicate=True)
            return
        if await self._refused(call, model, token):
            return
        going = model.room_for(new, afresh=afresh)
        if going is None:
            assert await _raised(call) is OverBudget
            return
        result = await call
        if afresh and (new or model.exists):
            model.empty()
            model.exists = True
        model.remove(going)
        added = (await self._ids(where))[len(model.log) :]
        model.append(new, added)
        first_id, last_id = (_shown(added[0]), _shown(added[-1])) if new else (None, None)
        flush = "due" if model.over else "none"
        assert result == AppendResult(first_id, last_id, len(new), len(model.log), model.tokens, flush)
        if idempotent is not None:
            self._firsts[id(model), idempotent] = result

    async def _write(self, where: Memory, model: Model, new: list[New], leased: str, idempotent: str | None) -> None:
        await self._append(where, model, new, leased, idempotent, afresh=True)

    async def _delete(self, where: Memory, model: Model, picks: list[int], leased: str, whole: bool) -> None:
        token, ids = self._token(model, leased), self._picked(model, picks)
        call = self._live.delete(where, *map(_shown, ids), pairs=whole, token=token)
        if not await self._refused(call, model, token):
            assert await call == model.delete(ids, whole=whole)

    async def _pin(self, where: Memory, model: Model, picks: list[int], pinned: bool) -> None:
        ids = self._picked(model, picks)
        assert await self._live.pin(where, *map(_shown, ids), pin=pinned) == model.pin(ids, pinned=pinned)

    async def _clear(self, where: Memory, model: Model, leased: str) -> None:
        token = self._token(model, leased)
        call = self._live.clear(where, token=token)
        if not await self._refused(call, model, token):
            assert await call == len(model.log)
            model.empty()
            model.exists = False

    async def _fork(self, where: Memory, model: Model, target: int, at: int | None) -> None:
        copy = self._models[target]
        if copy is model:  # the command refuses it
            return
        upto = None if at is None else model.log[at].id if at < len(model.log) else (1, 1)
        call = self._forks.fork(ForkRequest(where, self._where[target], None if upto is None else _shown(upto)))
        if copy.holder:
            assert await _raised(call) is Locked
        elif (copy.log or copy.summary_tokens) and Model(copy.definition).fork(model, upto):
            assert await _raised(call) is NotEmpty
        else:
            result = await call
            if copy.fork(model, upto):
                ids = [_shown(message.id) for message in copy.log]
                first_id, last_id = (ids[0], ids[-1]) if ids else (None, None)
                flush = "due" if copy.over else "none"
                assert result == AppendResult(first_id, last_id, len(ids), len(ids), copy.tokens, flush)
            else:
                assert result == AppendResult(None, None, 0, 0, 0, "none")

    async def _lock(self, where: Memory, model: Model) -> None:
        call = self._live.locks.acquire(where, lease_ms=60_000)
        if model.holder:
            assert await _raised(call) is Locked
        else:
            model.holder = (await call).token

    async def _unlock(self, where: Memory, model: Model) -> None:
        assert await self._live.locks.release(where, model.holder or "nobody's") == bool(model.holder)
        model.holder = ""

    async def _expire(self, where: Memory, model: Model) -> None:
        """The memory reaches the end of its life; a lease on it does not, and neither does its mark."""
        await self._redis.delete(where.keys.log, where.keys.meta, where.keys.keep)
        due = model.due
        model.empty()
        model.exists, model.due, model.newest = False, due, (0, 0)

    async def _flush(
        self, where: Memory, model: Model, picks: list[int], summarise: bool, meanwhile: list[New] | None
    ) -> None:
        """A flush removes some messages, perhaps while others are appended: then it may find that it is overtaken."""
        if not model.log:
            return
        gone = {id_ for id_ in self._picked(model, picks) if id_ not in {message.id for message in model.kept}}
        live = LiveMemory(self._redis, where.definition, where.instance)
        flush = await Flush(FlushStore(self._redis, SPACE), live, f"run{next(_runs)}").begin()
        await flush.stage({*map(_shown, gone)}, summarise=summarise)
        if summarise:
            await flush.summary("what was said", 7)
        went = again = False
        if meanwhile is not None and not model.holder:
            going = model.room_for(meanwhile, afresh=False)
            if going is None:
                assert await _raised(self._send(where, meanwhile)) is OverBudget
            else:
                await self._send(where, meanwhile)
                model.remove(going)
                model.append(meanwhile, (await self._ids(where))[len(model.log) :])
                went, again = bool(going), model.over and bool(meanwhile)
        code = (await flush.commit(limits=live.limits, ttl_ms=where.definition.ttl_ms)).code
        assert code == ("stale-fence" if went else "locked" if model.holder else "committed")
        if code == "committed":
            model.remove(gone)
            model.summary_tokens = 7 if summarise else model.summary_tokens
            model.due = model.due and again and model.over
        elif code == "locked":
            await flush.store.fail(flush.lease, begun_ms=flush.begun.now_ms, strategy="fifo", error="locked")

    # ---- sending and comparing ----

    def _send(self, where: Memory, new: Sequence[New], **options: Any) -> asyncio.Future[Any]:
        messages = [Message(each.role, f"text {next(_texts)}", _fields(each)) for each in new]
        weights = [f"{each.tokens} {'!' * each.critical}{each.kind}" if each.kind else each.tokens for each in new]
        return self._live.sent(
            lambda done: self._live.store.append(where, messages, weights, ENCODING, done, **options)
        )

    def _token(self, model: Model, leased: str) -> str:
        return {"": "", "held": model.holder, "lost": "lost"}[leased]

    def _picked(self, model: Model, picks: list[int]) -> list[Id]:
        """Ids of some messages; those behind the end stand for one that is not there."""
        return [model.log[pick].id if pick < len(model.log) else (1, pick) for pick in picks]

    async def _refused(self, call: Awaitable[Any], model: Model, token: str) -> bool:
        refusal = model.refuses(token)
        if refusal:
            assert await _raised(call) is (Locked if refusal == "locked" else StaleLock)
        return bool(refusal)

    async def _ids(self, where: Memory) -> list[Id]:
        entries: Any = await self._redis.xrange(where.keys.log)
        return [_read(id_) for id_, _ in entries]

    async def _compare(self, where: Memory, model: Model) -> None:
        """Log, totals, what is kept, and the mark: each by itself, and in what MEMINFO tells."""
        keys = where.keys
        entries: Any = await self._redis.xrange(keys.log)
        log = [(_read(id_), fields[b"r"].decode(), int(fields[b"n"])) for id_, fields in entries]
        assert log == [(message.id, message.role, message.tokens) for message in model.log]
        kept: Any = await self._redis.zrange(keys.keep, 0, -1)
        assert {_read(id_) for id_ in kept} == {message.id for message in model.kept}
        assert (await self._redis.zscore(keys.due, keys.name) is not None) == model.due
        meta: Any = await self._redis.hgetall(keys.meta)
        assert (b"encoding" in meta) == model.exists
        assert model.exists or b"messages" not in meta
        totals = [int(meta.get(name, 0)) for name in (b"messages", b"tokens", b"kept_messages", b"kept_tokens")]
        weights = [sum(message.tokens for message in messages) for messages in (model.log, model.kept)]
        assert totals == [len(model.log), weights[0], len(model.kept), weights[1]]
        info = await self._live.info(where)
        assert (info.messages, info.tokens, info.pinned_tokens) == (len(model.log), *weights)
        assert (info.summary_tokens, info.locked) == (model.summary_tokens, bool(model.holder))
        await self._compare_reads(where)

    async def _compare_reads(self, where: Memory) -> None:
        """A store that keeps what it has read gives what one gives that asks for everything anew."""
        for question in QUESTIONS:
            kept = await self._live.read(where, **question)
            assert kept == await self._live.read(where, **question, store=self._forgetful)


async def _raised(call: Awaitable[Any]) -> type[BaseException]:
    """Return the class of the error that a call ends with."""
    try:
        answer = await call
    except MemsidecarError as problem:
        return type(problem)
    raise AssertionError(f"it was answered {answer}")


def _fields(new: New) -> str:
    if new.calls:
        return json.dumps({"tool_calls": [{"id": call} for call in new.calls]}, separators=(",", ":"))
    return "" if new.answers is None else json.dumps({"tool_call_id": new.answers}, separators=(",", ":"))


def _shown(id_: Id) -> str:
    return f"{id_[0]}-{id_[1]}"


def _read(id_: bytes) -> Id:
    ms, _, sequence = id_.decode().partition("-")
    return int(ms), int(sequence)


@settings(
    max_examples=80,
    deadline=None,
    # The Redis is shared by all examples on purpose: each has memories of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=STEPS)
async def test_any_order(live: LiveStore, redis_client: Redis, steps: list[tuple[Any, ...]]) -> None:
    """Appends, writes, deletes, pins, clears, copies, locks and flushes: messages, totals and marks are the model's."""
    driver = Driver(live, redis_client)
    for step in steps:
        await driver.step(*step)
