"""Random interleavings of appends, deletions, pins and competing flushes, against a model that is a list.

What must hold whatever the order: a message disappears only because somebody deleted it or a committed flush had
planned it, a pinned one never by a flush, none in part of a tool pair, and the totals are those of the log after every
step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from sidecar.errors import FlushRefused
from sidecar.flush import staging
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket
from sidecar.store.flush_store import FlushStore
from tests.flush.memories import SPACE, SUMMED, Entry, LiveMemory, NotingSummariser, WordCounter

RUNS = 2
"""Flushes that compete for the memory."""

SMALL = replace(SUMMED, id="small", max_tokens=250, flush=replace(SUMMED.flush, summary_tokens=40))
"""Due above 200 tokens, a few messages."""

KINDS: list[list[Entry]] = [
    [("user", "hello there", 60)],
    [("assistant", "hi", 90), ("user", "go on", 30)],
    [("system", "be kind", 20)],
    [("assistant", "", 40, '{"tool_calls":[{"id":"c"}]}'), ("tool", "42", 40, '{"tool_call_id":"c"}')],
    [("user", "long", 300)] * 2,
]

# Mostly appends and steps, so that many flushes get to their commit; the accidents are rare.
WEIGHTED = [
    *(("append", kind) for kind in range(len(KINDS))),
    *(("step", run) for run in range(RUNS) for _ in range(6)),
    *(("repeat", run) for run in range(RUNS)),
    ("fail", 0),
    ("lapse", 0),
    ("lapse", 0),
    ("clear", 0),
    ("delete", 1),
    ("pin", 0),
    ("pin", 2),
]

ACTIONS = st.lists(st.sampled_from(WEIGHTED), min_size=30, max_size=90)


@dataclass
class Run:
    """One competitor: where it is, and what it planned."""

    number: int
    at: str = "begin"
    ticket: Ticket | None = None
    planned: frozenset[str] = frozenset()
    summarise: bool = False
    round: int = 0


@dataclass
class World:
    """The memory, the competitors, and the model: the ids that must be in the log."""

    memory: LiveMemory
    steps: FlushSteps
    store: FlushStore
    expected: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=lambda: [Run(number) for number in range(RUNS)])

    async def act(self, action: str, number: int) -> None:
        """Do one thing, then compare with the model."""
        if action == "append":
            self.expected += await self.memory.append(KINDS[number])
        elif action == "delete":
            await self.memory.delete(*self.expected[number : number + 1], pairs=True)
            left = await self.memory.ids()  # with the other half of a tool pair
            assert len(self.expected) - len(left) in ((1, 2) if self.expected[number:] else (0,))
            self.expected = [id_ for id_ in self.expected[:number] + self.expected[number + 1 :] if id_ in left]
        elif action == "pin":
            await self.memory.pin(*self.expected[number : number + 1])
        elif action == "clear":
            await self.memory.clear()
            self.expected = []
        elif action == "lapse":
            if "flush_until" in await self.memory.meta():
                await self.memory.lose_lease()
        else:
            await self._run(action, self.runs[number])
        assert await self.memory.ids() == self.expected
        await self.memory.assert_totals()
        await self._assert_kept()
        await self._assert_pairs()

    async def _run(self, action: str, run: Run) -> None:
        try:
            if run.ticket is None:
                await self._begin(run)
            elif action == "fail":
                await self.steps.fail(run.ticket, "gave up")
                self._next_round(run)
            else:
                await self._advance(run, run.ticket, again=action == "repeat")
        except FlushRefused as refused:
            event(f"refused at {run.at}: {refused.reason}")
            self._next_round(run)

    async def _begin(self, run: Run) -> None:
        begun = await self.steps.begin(*self.memory.address, run_id=f"{run.number}.{run.round}", force=False)
        run.ticket = begun.ticket
        run.at = "plan"

    async def _advance(self, run: Run, ticket: Ticket, *, again: bool) -> None:
        """Take the next step; with `again` take it twice, as after a lost answer."""
        for _ in range(2 if again else 1):
            if run.at == "plan":
                run.summarise = (await self.steps.plan(ticket)).summarise
                run.planned = await self._staged(ticket)
            elif run.at == "summarise":
                await self.steps.summarise(ticket, lambda: None)
            else:
                outcome = await self.steps.commit(ticket)
                event(f"committed, again: {outcome.again}, summarised: {run.summarise}")
                assert outcome.run_id == ticket.run_id
                self.expected = [id_ for id_ in self.expected if id_ not in run.planned]
        if run.at == "commit":
            self._next_round(run)
        else:
            run.at = "summarise" if run.at == "plan" and run.summarise else "commit"

    async def _staged(self, ticket: Ticket) -> frozenset[str]:
        work = await self.store.work(*self.memory.address, ticket.run_id)
        assert work is not None
        ids = await self.memory.ids()
        return frozenset(
            id_
            for part in staging.decode(work.plan).ranges
            for id_ in ids[ids.index(part.first) : ids.index(part.last) + 1]
        )

    @staticmethod
    def _next_round(run: Run) -> None:
        run.ticket, run.round, run.planned, run.summarise = None, run.round + 1, frozenset(), False

    async def _assert_kept(self) -> None:
        """Every instruction and pinned message is there, and the totals know how many that are."""
        kept = await self.memory.kept()
        assert kept <= set(self.expected)
        assert int((await self.memory.meta()).get("kept_messages", 0)) == len(kept)

    async def _assert_pairs(self) -> None:
        """A result directly follows its call: neither is there without the other."""
        roles = [("call" if m.fields and "tool_calls" in m.fields else m.role) for m in await self.memory.messages()]
        assert roles.count("call") == roles.count("tool")


@settings(
    max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(actions=ACTIONS)
def test_no_message_disappears_unless_a_committed_flush_planned_it(
    redis_url: str, actions: list[tuple[str, int]]
) -> None:
    """Whatever the order of appends, deletions, pins, steps, repeated steps, lost leases, failures and clears."""

    async def play() -> None:
        async with Redis.from_url(redis_url) as redis:
            await redis.flushdb()
            store = FlushStore(redis, SPACE)
            steps = FlushSteps(
                store=store,
                definitions={SMALL.id: SMALL},
                counter=lambda encoding: WordCounter(),
                summariser=NotingSummariser(),
            )
            world = World(LiveMemory(redis, SMALL), steps, store)
            for action, number in actions:
                await world.act(action, number)

    asyncio.run(play())
