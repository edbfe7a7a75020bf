"""Random interleavings of everything that changes a memory with competing, crashing and repeating flushers.

What must hold whatever the order is written in `flushed_world`: no acknowledged message disappears except by a hand
that named it or by a committed plan that names it, and every total is that of the log after every action. To add an
action: a rule here that runs a method of `World`, and that method says what it changes in `World.content`.

Not here: real processes and servers that die; see `tests/e2e/test_flush_faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sidecar.flush.steps import FlushSteps
from sidecar.memory.definition import Definition
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.flush_store import FlushStore
from tests.flush.flushed_world import UNANSWERED, UNSENT, Flusher, World
from tests.flush.memories import SPACE, SUMMED, Entry, LiveMemory, WordCounter
from tests.support.cutting_relay import Cut, CuttingRelay

GROWS = replace(SUMMED, id="small", max_tokens=250, flush=replace(SUMMED.flush, summary_tokens=40))
"""Due above 200 tokens, a few messages."""

TRIMS = replace(GROWS, overflow="trim")
"""The same; above 250 tokens the oldest messages make room."""

POLICIES = (
    GROWS.flush,
    replace(GROWS.flush, strategy="fifo"),
    replace(GROWS.flush, target=0.2),
)
"""How each flusher was told to flush: a reload of the definitions reaches one process after the other."""

KINDS: list[list[Entry]] = [
    [("user", "hello there", 60)],
    [("assistant", "hi", 90), ("user", "go on", 30)],
    [("system", "be kind", 20)],
    [("assistant", "", 40, '{"tool_calls":[{"id":"c"}]}'), ("tool", "42", 40, '{"tool_call_id":"c"}')],
    [("user", "long", 110)] * 2,
]

REQUESTS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)
FLUSHERS = st.sampled_from([0, 0, 0, 1, 1, 2])
CUTS = st.sampled_from([None, None, UNSENT, UNANSWERED])
PLACES = st.integers(min_value=0, max_value=6)


class CountingSummariser:
    """The port `Summariser`: says how many messages summaries stand for."""

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        """Return one short sentence."""
        return f"of {len(messages) + (int(earlier.split()[1]) if earlier else 0)} messages"


class Interleavings(RuleBasedStateMachine):
    """The rules. Each runs to its end before the next one: on Redis everything has an order."""

    redis_url = ""
    committed = 0  # flushes of all games, but for the last one of each

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.open = AsyncExitStack()

    @initialize(definition=st.sampled_from([GROWS, TRIMS]))
    def begin(self, definition: Definition) -> None:
        self.run(self._begin(definition))

    async def _begin(self, definition: Definition) -> None:
        redis = await self.open.enter_async_context(Redis.from_url(self.redis_url))
        relay = await self.open.enter_async_context(CuttingRelay(self.redis_url))
        behind = Redis.from_url(relay.url, retry=Retry(NoBackoff(), 0))
        store = FlushStore(await self.open.enter_async_context(behind), SPACE)
        await redis.flushdb()
        self.world = World(redis, relay, store, LiveMemory(redis, definition))
        await self.world.prepare()
        self.flushers = [
            Flusher(
                f"f{number}",
                FlushSteps(
                    store=store,
                    definitions={definition.id: replace(definition, flush=policy)},
                    counter=lambda encoding: WordCounter(),
                    summariser=CountingSummariser(),
                ),
            )
            for number, policy in enumerate(POLICIES)
        ]

    def run(self, action: Coroutine[Any, Any, None]) -> None:
        """Carry one action out."""
        self.runner.run(action)

    def nth(self, place: int) -> str:
        """Return the id at a place, counted from the oldest and round."""
        ids = self.world.content.ids
        return ids[place % len(ids)] if ids else "1-1"

    def go(self, number: int, steps: int, cut: Cut | None = None) -> None:
        """Let a flusher take some steps; the first answer of each is lost where that is wanted."""
        for _ in range(steps):
            self.run(self.world.advance(self.flushers[number], cut))
            self.nothing_is_lost()

    # ---- clients ----

    @rule(requests=REQUESTS, holder=st.booleans())
    def append(self, requests: list[list[Entry]], holder: bool) -> None:
        self.run(self.world.append(requests, holder=holder))

    @rule(
        requests=st.lists(st.sampled_from(KINDS), min_size=3, max_size=3),
        number=FLUSHERS,
        steps=st.sampled_from([0, 1, 2, 3, 4, 4, 4, 4]),
    )
    def fill(self, requests: list[list[Entry]], number: int, steps: int) -> None:
        """Appends that mostly make a flush due, and a part of one: by itself chance would hardly come to a commit."""
        self.run(self.world.append(requests, holder=True))
        self.go(number, steps)

    @rule(entries=st.sampled_from(KINDS), clears=st.booleans())
    def begin_anew(self, entries: list[Entry], clears: bool) -> None:
        if clears:
            self.run(self.world.clear())
            self.run(self.world.append([entries]))
        else:
            self.run(self.world.write(entries))

    @rule(place=PLACES, pairs=st.booleans())
    def delete(self, place: int, pairs: bool) -> None:
        self.run(self.world.delete([self.nth(place)], pairs=pairs))

    @precondition(lambda self: self.world.content.log)
    @rule(place=PLACES, pins=st.sampled_from([True, True, False]), number=FLUSHERS, steps=st.sampled_from([0, 2, 3]))
    def pin(self, place: int, pins: bool, number: int, steps: int) -> None:
        """Pin, mostly in the middle of a flush that may have planned otherwise."""
        self.go(number, steps)
        if self.world.content.log:
            self.run(self.world.pin(self.nth(place), pins=pins))
        self.go(number, steps)

    @rule(number=FLUSHERS, steps=st.integers(min_value=0, max_value=4), ends=st.sampled_from([True, True, False]))
    def turn(self, number: int, steps: int, ends: bool) -> None:
        """An agent's turn, in which a flusher goes as far as it may; or only its begin, or its late end."""
        if not self.world.locked:
            self.run(self.world.lock())
        self.go(number, steps)
        if ends:
            self.run(self.world.unlock())

    @rule(lapses=st.booleans())
    def undo(self, lapses: bool) -> None:
        self.run(self.world.undo())
        if lapses:
            self.run(self.world.lapse())

    # ---- flushers ----

    @rule(number=FLUSHERS, steps=st.integers(min_value=1, max_value=4), cut=CUTS)
    def advance(self, number: int, steps: int, cut: Cut | None) -> None:
        self.go(number, steps, cut)

    @rule(number=FLUSHERS)
    def advance_twice(self, number: int) -> None:
        self.run(self.world.advance(self.flushers[number], times=2))

    @rule(number=FLUSHERS, cut=CUTS, end=st.sampled_from(["crash", "crash and lapse", "fail", "lapse"]))
    def accident(self, number: int, cut: Cut | None, end: str) -> None:
        if end == "fail":
            self.run(self.world.fail(self.flushers[number]))
        elif end != "lapse":
            self.run(self.world.crash(self.flushers[number], cut))
        if "lapse" in end:
            self.run(self.world.lapse())

    @precondition(lambda self: self.world.ghosts)
    @rule(number=PLACES, step=st.sampled_from(["plan", "summarise", "commit", "commit", "renew", "fail"]))
    def haunt(self, number: int, step: str) -> None:
        self.run(self.world.haunt(number, step))

    @invariant()
    def nothing_is_lost(self) -> None:
        self.run(self.world.check())

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                type(self).committed += len(self.world.commits)
                self.run(self.world.finish(self.flushers[0]))
        finally:
            self.run(self.open.aclose())
            self.runner.close()


MOST_ROUNDS = 4
"""Of a play. What happens is drawn by lot: one round in seven has too few flushes, and four in a row are rare."""


def play(redis_url: str, *, examples: int, steps: int) -> None:
    """Play so many games of so many actions, and again so many where there was hardly a flush among them."""
    machine: Any = type("Interleavings", (Interleavings,), {"redis_url": redis_url})
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    for rounds in range(1, MOST_ROUNDS + 1):
        run_state_machine_as_test(machine, settings=how)
        print(f"{machine.committed} flushes in {rounds * examples} games")
        if machine.committed > examples // 4:
            return
    pytest.fail("there were too few flushes to say anything")


def test_no_message_disappears_unless_a_committed_flush_planned_it(redis_url: str) -> None:
    """Whatever the order of clients' changes and of the steps of flushers that compete, crash, repeat and come late."""
    play(redis_url, examples=45, steps=40)


def test_the_same_where_logs_are_made_anew(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where each commit swaps the log for one that was made beside it, as those that take much do."""
    # Patched, because it takes over a thousand messages to come to this, which is the whole time of a game.
    monkeypatch.setattr("sidecar.flush.staging.MOST_IDS", -1)
    play(redis_url, examples=20, steps=40)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_the_same_for_long(redis_url: str) -> None:
    """The same in thousands of longer orders: `python -m pytest -m long tests/flush/test_interleavings.py`."""
    play(redis_url, examples=1_500, steps=80)
