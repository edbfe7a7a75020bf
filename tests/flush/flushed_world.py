"""A memory that several flushers compete for, and the model of it: what must be on Redis, and why.

The counterpart is `test_interleavings`, which chooses what happens. Here is what each action may change; nothing here
decides when. The model learns ids from the replies that a client would get, and every other fact from the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, groupby, pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from sidecar.errors import FlushLocked, FlushRefused, Unavailable, Uncertain
from sidecar.flush import staging
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket
from sidecar.flush.undo import Undo
from sidecar.memory.addressing import Memory
from sidecar.memory.message import Message
from sidecar.store import scripts
from sidecar.store.batch import Append, call, fixed
from sidecar.store.flush_copies import FlushCopies
from sidecar.store.flush_store import FlushStore
from sidecar.store.undo_store import UndoStore
from tests.flush.content_model import Content, Said, order
from tests.flush.memories import HOLDER, SPACE, Entry, LiveMemory
from tests.support.cutting_relay import Cut, CuttingRelay

UNSENT, UNANSWERED = Cut("request", 0), Cut("reply", 0)
"""A step's script is never executed; or it is, and nobody hears of it."""

FLUSH_SCRIPTS = ("begin", "facts", "stage", "copy", "commit", "renew", "fail")

_numbers = count(1)


@dataclass
class Flusher:
    """One competitor, in its own process as it were: its own idea of the definition, and how far it has come."""

    name: str
    steps: FlushSteps
    at: str = "begin"
    ticket: Ticket | None = None
    round: int = 0

    @property
    def run_id(self) -> str:
        """Of its present run."""
        return f"{self.name}.{self.round}"


class World:
    """The memory and its model.

    Args:
        redis: past the relay, for the clients' actions and for looking.
        relay: between the flushers and Redis.
        store: over the relay.
        memory: the one that everybody works on.
    """

    def __init__(self, redis: Redis, relay: CuttingRelay, store: FlushStore, memory: LiveMemory) -> None:
        self.memory = memory
        self.content = Content()
        self.before_commit = Content()  # what the latest commit found
        self.undoable: Content | None = None  # what the latest commit that took something found, as long as that counts
        self.commits: dict[tuple[str, int], str] = {}
        self.taken: frozenset[str] = frozenset()  # what that commit took
        self.locked = False
        self.ghosts: list[tuple[Flusher, Ticket]] = []  # runs that are over, or crashed; their steps may still come
        self._redis = redis
        self._relay = relay
        self._store = store
        self._undo = Undo(store=UndoStore(redis, SPACE), copies=FlushCopies(redis, SPACE))

    async def prepare(self) -> None:
        """Make the scripts known, so that a lost answer is that of a script which was executed."""
        for name in FLUSH_SCRIPTS:
            await self._redis.script_load(scripts.load(name).source)

    # ---- what clients do ----

    async def append(self, requests: Sequence[Sequence[Entry]], *, holder: bool = False) -> None:
        """Append what several clients sent, in one batch; each is acknowledged, or refused, by itself."""
        known = self.content
        replies = await self._send(requests, holder=holder, replaces=False)
        stored: list[tuple[list[Said], set[str]]] = [
            _acknowledged(entries, reply) for entries, reply in zip(requests, replies, strict=True) if reply
        ]
        news = tuple(said for messages, _ in stored for said in messages)
        kept = frozenset(id_ for _, ids in stored for id_ in ids)
        grown = replace(known, log=known.log + news, kept=known.kept | kept)
        there = set(await self.memory.ids())
        trimmed = frozenset(said.id for said in grown.log if said.id not in there)
        if trimmed:
            self._assert_room(grown, trimmed)
        self.content = grown.without(trimmed)

    async def write(self, entries: Sequence[Entry]) -> None:
        """Replace everything."""
        (reply,) = await self._send([entries], holder=False, replaces=True)
        if reply:
            messages, kept = _acknowledged(entries, reply)
            self.content, self.undoable = Content(tuple(messages), frozenset(kept)), None

    async def clear(self) -> None:
        """Delete everything. While somebody holds the lock that is refused."""
        await self.memory.clear()
        if not self.locked:
            self.content, self.undoable = Content(), None

    async def undo(self) -> None:
        """Undo the last flush that took something; under somebody's turn that is refused."""
        was, there = self.undoable, {said.id for said in self.content.log}
        if was is not None and self.locked:
            with pytest.raises(FlushLocked):
                await self._undo.undo(*self.memory.address)
            return
        outcome = await self._undo.undo(*self.memory.address)
        if was is None:
            assert outcome.restored is None
            return
        back = tuple(said for said in was.log if said.id in self.taken)
        assert outcome.restored == len(back)
        assert there.isdisjoint(self.taken)
        log = sorted((*self.content.log, *back), key=lambda said: order(said.id))
        self.content = replace(self.content, log=tuple(log), summary=was.summary, flushed=was.flushed)
        self.undoable = None

    async def delete(self, ids: Sequence[str], *, pairs: bool) -> None:
        """Delete messages, with `pairs` the other halves of tool calls."""
        await self.memory.delete(*ids, pairs=pairs)
        if self.locked:
            return
        going = frozenset(ids)
        if pairs:
            there = set(await self.memory.ids())
            going |= frozenset(id_ for id_ in self._tool_run(going) if id_ not in there)
        self.content = self.content.without(going)

    def _tool_run(self, ids: frozenset[str]) -> set[str]:
        """Return the calls and results that follow each other around these. All calls have the same name here, so that
        one whose own call was deleted answers the call before it: which of them belong together is `test_read_units`'s.
        """
        found: set[str] = set()
        for tools, run in groupby(self.content.log, key=lambda said: said.role in ("call", "tool")):
            here = {said.id for said in run}
            if tools and not here.isdisjoint(ids):
                found |= here
        return found

    async def pin(self, id_: str, *, pins: bool) -> None:
        """Pin a message, or no longer; instructions are kept in any case."""
        keys = [self.memory.keys.log, self.memory.keys.meta, self.memory.keys.keep]
        await self._eval("pin", keys, ["op:pins", next(_numbers), int(pins), id_])
        if all(said.role != "system" for said in self.content.log if said.id == id_):
            kept = self.content.kept | {id_} if pins else self.content.kept - {id_}
            self.content = replace(self.content, kept=kept)

    async def lock(self) -> None:
        """Begin a turn."""
        await self.memory.lock()
        self.locked = True

    async def unlock(self) -> None:
        """End it."""
        await self.memory.unlock()
        self.locked = False

    async def lapse(self) -> None:
        """Let the lease of the running flush, if there is one, run out."""
        if "flush_until" in await self.memory.meta():
            await self.memory.lose_lease()

    # ---- what flushers do ----

    async def advance(self, flusher: Flusher, cut: Cut | None = None, *, times: int = 1) -> None:
        """Take a flusher's next step; where its answer does not come, or with `times`, again, as an engine does."""
        self._relay.plan = iter([cut] if cut else [])
        for _ in range(times):
            try:
                await self._answered_step(flusher)
            except FlushLocked:
                return
            except FlushRefused:
                self.leave(flusher)
                return
        await self._go_on(flusher)

    async def crash(self, flusher: Flusher, cut: Cut | None = None) -> None:
        """Let a flusher vanish, with `cut` in the middle of its next step; nobody gives its lease back."""
        if cut is not None:
            self._relay.plan = iter([cut])
            with suppress(Unavailable, Uncertain, FlushRefused, FlushLocked):
                await self._step(flusher)
        self.leave(flusher)

    async def fail(self, flusher: Flusher) -> None:
        """Let it give up."""
        if flusher.ticket is not None:
            await flusher.steps.fail(flusher.ticket, "gave up")
        self.leave(flusher)

    async def haunt(self, number: int, step: str) -> None:
        """Take a step of a run that is over, as an engine may that has not heard of it."""
        flusher, ticket = self.ghosts[number % len(self.ghosts)]
        with suppress(FlushRefused, FlushLocked):
            await self._take(flusher, step, ticket)

    def leave(self, flusher: Flusher) -> None:
        """End its run; the next one has another id."""
        if flusher.ticket is not None:
            self.ghosts = [*self.ghosts[-5:], (flusher, flusher.ticket)]
        flusher.ticket, flusher.at, flusher.round = None, "begin", flusher.round + 1

    async def _step(self, flusher: Flusher) -> None:
        if flusher.at == "begin":
            begun = await flusher.steps.begin(*self.memory.address, run_id=flusher.run_id, force=False)
            flusher.ticket = begun.ticket
        else:
            assert flusher.ticket is not None
            await self._take(flusher, flusher.at, flusher.ticket)

    async def _answered_step(self, flusher: Flusher) -> None:
        try:
            await self._step(flusher)
        except (Unavailable, Uncertain):  # at most one cut is planned
            await self._step(flusher)

    async def _go_on(self, flusher: Flusher) -> None:
        if flusher.at == "commit" or flusher.ticket is None:
            self.leave(flusher)
            return
        if flusher.at == "plan":
            work = await self._store.work(*self.memory.address, flusher.run_id)
            summarise = work is not None and staging.decode(work.plan).summarise
            flusher.at = "summarise" if summarise else "commit"
        else:
            flusher.at = {"begin": "plan", "summarise": "commit"}[flusher.at]

    async def _take(self, flusher: Flusher, step: str, ticket: Ticket) -> None:
        if step == "plan":
            await flusher.steps.plan(ticket)
        elif step == "summarise":
            await flusher.steps.summarise(ticket, lambda: None)
        elif step == "renew":
            await flusher.steps.renew(ticket)
        elif step == "fail":
            await flusher.steps.fail(ticket, "gave up late")
        else:
            await self._commit(flusher, ticket)

    async def _commit(self, flusher: Flusher, ticket: Ticket) -> None:
        """Commit. Whether it happened is told by Redis, not by the answer; what it may have done by the plan."""
        plan, going = await self._planned(ticket)
        try:
            outcome = await flusher.steps.commit(ticket)
            assert outcome.run_id == ticket.run_id
        except FlushRefused:
            meta = await self.memory.meta()
            repeated = meta.get("epoch") == ticket.epoch and meta.get("last_run") == ticket.run_id
            assert not repeated or meta["last_status"] != "done", "a repeated commit did not tell what it had done"
            raise
        finally:
            meta = await self.memory.meta()
            done = (meta.get("last_run"), meta.get("last_status")) == (ticket.run_id, "done")
            if done and ticket.run_id not in self.commits.values():
                assert plan is not None, "a run without a plan has committed"
                self._committed(ticket, plan, going, meta)

    def _committed(self, ticket: Ticket, plan: staging.StagedPlan, going: frozenset[str], meta: dict[str, str]) -> None:
        assert not self.locked, "a flush took messages under somebody's turn"
        lease = ticket.epoch, ticket.fence
        assert lease not in self.commits, "two flushes of one snapshot"
        self.commits[lease] = ticket.run_id
        assert going <= set(self.content.ids), "a plan of what is not there was carried out"
        assert not going & self.content.kept, "a kept message was flushed"
        assert all(order(id_) <= order(ticket.last_id) for id_ in going), "a message behind the snapshot was flushed"
        for call_, result in pairwise(self.content.log):
            if result.role == "tool" and call_.role == "call":
                assert (call_.id in going) == (result.id in going), "a flush parted a tool pair"
        self.before_commit = self.content
        if going:
            self.undoable, self.taken = self.content, going
        left = self.content.without(going)
        summary = meta.get("summary", "") if plan.summarise else left.summary
        if plan.summarise and going:
            assert summary.startswith("of ")
            assert int(summary.split()[1]) <= left.flushed + len(going)
        self.content = replace(left, summary=summary, flushed=left.flushed + len(going))
        assert int(meta["last_removed"]) == len(self.before_commit.log) - len(self.content.log)

    async def _planned(self, ticket: Ticket) -> tuple[staging.StagedPlan | None, frozenset[str]]:
        work = await self._store.work(*self.memory.address, ticket.run_id)
        if work is None:
            return None, frozenset()
        plan = staging.decode(work.plan)
        going = {
            id_
            for part in plan.ranges
            for id_ in part.ids or self.content.ids
            if order(part.first) <= order(id_) <= order(part.last)
        }
        return plan, frozenset(going)

    # ---- what must hold at any time ----

    async def check(self) -> None:
        """Compare Redis with the model: the log, the totals, what is kept, the summary."""
        stored = [(message.id, message.tokens) for message in await self.memory.messages()]
        assert stored == [(said.id, said.tokens) for said in self.content.log]
        assert all(order(one) < order(next_) for (one, _), (next_, _) in pairwise(stored))
        assert await self.memory.kept() == self.content.kept
        meta = await self.memory.meta()
        totals = self.content.totals()
        assert {name: int(meta.get(name, 0)) for name in totals} == totals
        assert meta.get("summary", "") == self.content.summary

    async def finish(self, flusher: Flusher) -> None:
        """Whatever came before, the next flush that is ordered goes through."""
        await self.unlock()
        await self.lapse()
        self.leave(flusher)
        begun = await flusher.steps.begin(*self.memory.address, run_id=flusher.run_id, force=True)
        assert (begun.ticket is None) == (not self.content.log)
        if begun.ticket is None:
            return
        if (await flusher.steps.plan(begun.ticket)).summarise:
            await flusher.steps.summarise(begun.ticket, lambda: None)
        await self._commit(flusher, begun.ticket)
        assert self.commits[begun.ticket.epoch, begun.ticket.fence] == flusher.run_id
        await self.check()

    def _assert_room(self, grown: Content, trimmed: frozenset[str]) -> None:
        """What made room was the oldest that may go, and no more of it than was needed."""
        definition = self.memory.definition
        assert definition.overflow == "trim"
        assert not trimmed & grown.kept
        youngest = max(order(id_) for id_ in trimmed)
        halves = {said.id for pair in pairwise(grown.log) if pair[1].role == "tool" for said in pair}
        for said in grown.log:
            if order(said.id) < youngest and said.id not in grown.kept | halves:
                assert said.id in trimmed, "an older message was left"

    async def _send(self, requests: Sequence[Sequence[Entry]], *, holder: bool, replaces: bool) -> list[list[str]]:
        """Run the append script. Returns first and last id of each request, nothing for one that was refused."""
        memory, token = self.memory, HOLDER if holder and self.locked else ""
        where = Memory(memory.definition, memory.instance, memory.keys)
        appends = [
            Append(
                where,
                [Message(role, content, fields[0] if fields else "") for role, content, _, *fields in entries],
                [entry[2] for entry in entries],
                memory.definition.encoding,
                token,
                None,
                replaces,
                lambda _: None,
            )
            for entries in requests
        ]
        keys, arguments = call(appends, fixed(memory.definition), "op:clients", next(_numbers))
        words = (await self._eval("append", keys, arguments)).decode().split()
        if words[0] == "locked":
            assert self.locked
            assert not token
            return [[] for _ in requests]
        assert not self.locked or token
        return _by_request(words[2:])

    async def _eval(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        script: Any = self._redis.eval(scripts.load(name).source, len(keys), *keys, *arguments)
        return await script


def _by_request(words: list[str]) -> list[list[str]]:
    replies = []
    while words:
        size = 3 if words[0] == "over" else 4
        replies.append([] if words[0] == "over" else words[:2])
        words = words[size:]
    return replies


def _acknowledged(entries: Sequence[Entry], ids: Sequence[str]) -> tuple[list[Said], set[str]]:
    """Return what a reply promises: a request has one message or two, so that first and last id are all."""
    assert len(entries) in (1, 2)
    named = list(dict.fromkeys(ids))
    assert len(named) == len(entries)
    messages = [
        Said(id_, "call" if len(entry) > 3 and "tool_calls" in entry[3] else entry[0], entry[2])
        for id_, entry in zip(named, entries, strict=True)
    ]
    return messages, {said.id for said in messages if said.role == "system"}
