"""`LocalEngine`: runs flushes as tasks of this process. The counterpart is `sidecar.temporal`, over the same
steps.

For laptops and small installations. What Temporal would remember is on Redis: the mark in the outbox survives
this process, the lease and the fence keep several processes apart, and the sweeper of whichever is alive
starts what is left over. It does not repeat a flush that failed; the next sweep does.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from uuid import uuid4

import structlog

from sidecar.errors import (
    DeputyLost,
    EngineUnavailable,
    FlushLocked,
    FlushRefused,
    MemsidecarError,
    Unavailable,
    Uncertain,
    UnknownMemory,
    UpstreamError,
    logged,
)
from sidecar.flush.names import workflow_id
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Begun, Ticket
from sidecar.flush.trying import Patience, summarise
from sidecar.memory.keys import KeySpace
from sidecar.memory.label import label
from sidecar.memory.ports import FlushHandle, FlushOrder, FlushOutcome
from sidecar.memory.tracing import in_trace

CONCURRENCY = 4
"""Flushes that work at once. Each holds the texts that it removes, and all share the clients' event loop."""

FLIGHTS_PER_SLOT = 16
"""Flushes begun per working one; the others wait with their lease. More than these wait before they begin, so
that another process may take them."""

MAX_ROUNDS = 10
"""Rounds in a row for one memory. One that grows faster than it is flushed keeps its mark instead."""

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 1.0
"""Between two questions for a flush of another process, or for the end of a turn: most are over at once, a long one
has time."""

LOCK_PATIENCE_S = 60.0
"""How long a commit waits while agents hold the memory's lock, turn after turn. Then the flush is given up: its mark
stays, and the next one plans on what is there by then."""

ANSWER_PATIENCE_S = 10.0
"""How long a commit asks again where Redis went away: it may have been made, and then the flush has not failed."""

GOODBYE_S = 2.0
"""Limit of one try to give up a lease; at shutdown there is no other. Without that, others wait for it to run out."""

CLOSED = "the local flush engine is closed"
STOPPED = "the process that ran this flush was stopped"

_log = structlog.get_logger(__name__)


class _Run:
    """One round of a flush, and where its outcome arrives."""

    def __init__(self) -> None:
        self.run_id = uuid4().hex
        self.ended: asyncio.Future[FlushOutcome] = asyncio.get_running_loop().create_future()

    def end(self, outcome: FlushOutcome) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)


class _Flight:
    """All rounds for one memory. `begun` is the answer to the first begin, or why there is none."""

    def __init__(self, order: FlushOrder) -> None:
        self.order = order
        self.run = _Run()
        self.has_place = True  # among those that may be under way at once
        self.begun: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        # Its starter may have been cancelled; then nobody asks for the exception, and that is no bug.
        self.begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())


@dataclass(frozen=True, slots=True)
class LocalHandle:
    """A flush of this process. `started` is False when the order joined one that was running."""

    started: bool
    workflow_id: str
    run_id: str
    ended: asyncio.Future[FlushOutcome]

    async def outcome(self) -> FlushOutcome:
        """Wait for the end of this run."""
        # Shielded: whoever stops waiting must not cancel what others wait for.
        return await asyncio.shield(self.ended)


@dataclass(frozen=True, slots=True)
class JoinedHandle:
    """A flush of another process."""

    workflow_id: str
    run_id: str
    order: FlushOrder
    steps: FlushSteps
    started: bool = False

    async def outcome(self) -> FlushOutcome:
        """Ask Redis until the run has ended: after 50 ms, then ever more rarely, at least once a second.

        Ends when the other process stops renewing its lease, at the latest.

        Raises:
            EngineUnavailable: Redis cannot be asked; the flush itself may go on.
        """
        wait_s = FIRST_POLL_S
        while True:
            try:
                outcome = await self.steps.outcome_of(self.order.definition, self.order.instance, self.run_id)
            except (Unavailable, Uncertain) as away:
                raise EngineUnavailable(f"the outcome of run {self.run_id}: {away}", away.logged) from away
            if outcome is not None:
                return outcome
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))
            wait_s = min(wait_s * 1.5, LONGEST_POLL_S)


class LocalEngine:
    """The port `FlushEngine` over tasks of this process. `close` must be awaited before its event loop ends.

    Args:
        steps: over the store.
        space: gives the flushes their names.
        concurrency: how many work at once.
        lock_patience_s: how long a commit waits for the end of a turn.
        patience: with summarisers; None for the usual one.
        answer_patience_s: how long a commit asks again where Redis went away.
    """

    name = "local"

    def __init__(
        self,
        *,
        steps: FlushSteps,
        space: KeySpace,
        concurrency: int = CONCURRENCY,
        lock_patience_s: float = LOCK_PATIENCE_S,
        patience: Patience | None = None,
        answer_patience_s: float = ANSWER_PATIENCE_S,
    ) -> None:
        self._steps = steps
        self._space = space
        self._lock_patience_s = lock_patience_s
        self._patience = patience or Patience()
        self._answer_patience_s = answer_patience_s
        self._slots = asyncio.Semaphore(concurrency)
        self._room = asyncio.Semaphore(concurrency * FLIGHTS_PER_SLOT)
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self, order: FlushOrder) -> FlushHandle:
        """Start a flush, or join the one that runs here or in another process.

        Returns once the flush has begun, and so takes one round trip, or longer while `FLIGHTS_PER_SLOT`
        times `concurrency` flushes are under way.

        Raises:
            EngineUnavailable: Redis cannot be reached, or the engine is closed.
            UnknownMemory: the definition is not one of ours.
            RedisRefused: Redis answered an error.
        """
        name = workflow_id(self._space.keys(order.definition, order.instance).name)
        while True:
            flight, launched = await self._join_or_launch(order)
            run = flight.run
            begun = await asyncio.shield(flight.begun)
            if begun.status == "joined":
                return JoinedHandle(name, begun.run_id, order, self._steps)
            if launched or begun.ticket is not None:
                return LocalHandle(launched, name, run.run_id, run.ended)
            # Somebody else's order was not due, which says nothing about this one: it may be forced, or
            # later.

    @property
    def busy(self) -> bool:
        """Whether a flush is under way here."""
        return bool(self._flights)

    async def healthy(self) -> bool:
        """Tell whether a flush could be started now."""
        try:
            return not self._closed and await self._steps.reachable()
        except UpstreamError:
            return False

    async def close(self) -> None:
        """Break off every flush and wait until all have let go. Their marks stay, so that others serve
        them."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that is cancelled before its first step runs none of its code, and its starter waits for it.
        for flight in self._flights.values():
            self._end_badly(flight, EngineUnavailable(CLOSED), STOPPED)
            self._leave_place(flight)
        self._flights.clear()

    async def _join_or_launch(self, order: FlushOrder) -> tuple[_Flight, bool]:
        key = order.definition, order.instance
        if key not in self._flights and not self._closed:
            await self._room.acquire()
            # Meanwhile another order may have launched this memory's flight, or the engine been closed.
            if key not in self._flights and not self._closed:
                self._flights[key] = _Flight(order)
                task = asyncio.create_task(self._fly(self._flights[key]), name=f"flush {label(*key)}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return self._flights[key], True
            self._room.release()
        if self._closed:
            raise EngineUnavailable(CLOSED)
        return self._flights[key], False

    async def _fly(self, flight: _Flight) -> None:
        order = flight.order
        try:
            for number in range(MAX_ROUNDS):
                # Later rounds are there for appends over the threshold, never for the wish of the one who
                # forced.
                force = order.force and number == 0
                begun = await self._steps.begin(
                    order.definition,
                    order.instance,
                    run_id=flight.run.run_id,
                    force=force,
                    strategy=order.strategy,
                    target_tokens=order.target_tokens if number == 0 else None,
                    trace=order.trace,
                )
                if number == 0:
                    flight.begun.set_result(begun)
                outcome = begun.outcome if begun.ticket is None else await self._flush(begun.ticket)
                # A later round that finds another process at work has nothing of its own to report.
                flight.run.end(outcome or FlushOutcome("not-due", flight.run.run_id))
                if outcome is None or not outcome.again:
                    return
                flight.run = _Run()
            flight.run.end(FlushOutcome("not-due", flight.run.run_id))
        except asyncio.CancelledError:
            self._end_badly(flight, EngineUnavailable(CLOSED), STOPPED)
            raise
        except (Unavailable, Uncertain) as away:
            self._end_badly(flight, EngineUnavailable(str(away), away.logged), str(away))
        except MemsidecarError as refused:
            self._end_badly(flight, refused, str(refused))
        except Exception as bug:
            _log.exception("flush.not_begun", memory=label(order.definition, order.instance))
            self._end_badly(flight, bug, f"internal error: {type(bug).__name__}")
        finally:
            del self._flights[order.definition, order.instance]
            self._leave_place(flight)

    def _leave_place(self, flight: _Flight) -> None:
        if flight.has_place:
            flight.has_place = False
            self._room.release()

    @staticmethod
    def _end_badly(flight: _Flight, why: Exception, text: str) -> None:
        if not flight.begun.done():
            flight.begun.set_exception(why)
        flight.run.end(FlushOutcome("failed", flight.run.run_id, error=text))

    async def _flush(self, ticket: Ticket) -> FlushOutcome:
        about = {"memory": label(ticket.definition, ticket.instance), **in_trace(ticket.trace)}
        try:
            return await self._under_lease(ticket)
        except asyncio.CancelledError:
            await self._give_up(ticket, STOPPED)
            raise
        except (FlushRefused, FlushLocked, UnknownMemory, UpstreamError, DeputyLost) as refused:
            error = str(refused)
            _log.warning("flush.broke_off", error=refused.logged, **about)
        except Exception as bug:
            # The type only: its text may hold a message's.
            error = f"internal error: {type(bug).__name__}"
            _log.exception("flush.broke_off", **about)
        await self._give_up(ticket, error)
        return FlushOutcome("failed", ticket.run_id, strategy=ticket.strategy, error=error)

    async def _under_lease(self, ticket: Ticket) -> FlushOutcome:
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(ticket), name=f"lease of {ticket.run_id}")
                async with self._slots:
                    plan = await self._steps.plan(ticket)
                    if plan.summarise:
                        await summarise(self._steps, ticket, self._patience)
                # Before the commit, which ends the lease: a renewal right after it would report a lost fence.
                renewing.cancel()
        except BaseExceptionGroup as failures:
            # Either a step failed, or the lease is lost and the step was cancelled for it: one reason.
            raise failures.exceptions[0] from None
        return await self._commit(ticket)

    async def _commit(self, ticket: Ticket) -> FlushOutcome:
        """Commit; while somebody holds the turn lock of the memory, wait for the end of the turn."""
        clock = asyncio.get_running_loop().time
        patient_until, away_since, unanswered = clock() + self._lock_patience_s, None, False
        while True:
            try:
                return await self._steps.commit(ticket)
            except FlushLocked as locked:
                if clock() >= patient_until:
                    raise
                away_since = None
                # It holds no texts any more, and others must not wait for a turn that is none of theirs.
                self._leave_place(self._flights[ticket.definition, ticket.instance])
                await self._steps.renew(ticket)
                await asyncio.sleep(min(max(locked.left_ms / 1000, FIRST_POLL_S), LONGEST_POLL_S))
            except (FlushRefused, DeputyLost) as refused:
                # A commit whose answer was lost may have been made, and the memory have moved on from there.
                if not unanswered:
                    raise
                return await self._give_up_unsure(ticket, str(refused))
            except (Unavailable, Uncertain) as away:
                # Repeated, it tells what it did the first time.
                away_since, unanswered = away_since or clock(), unanswered or isinstance(away, Uncertain)
                if clock() >= away_since + self._answer_patience_s:
                    if not unanswered:
                        raise
                    return await self._give_up_unsure(ticket, str(away))
                await asyncio.sleep(LONGEST_POLL_S)

    async def _renew(self, ticket: Ticket) -> None:
        while True:
            await asyncio.sleep(self._steps.lease_ms / 3000)
            try:
                await self._steps.renew(ticket)
            except UpstreamError as trouble:
                # Two more tries fit into the lease. If it runs out, the fence keeps everybody safe.
                _log.warning("flush.lease_not_renewed", run_id=ticket.run_id, error=trouble.logged)

    async def _give_up_unsure(self, ticket: Ticket, error: str) -> FlushOutcome:
        await self._give_up(ticket, error)
        return FlushOutcome("failed", ticket.run_id, strategy=ticket.strategy, error=error, certain=False)

    async def _give_up(self, ticket: Ticket, error: str) -> None:
        """Record the failure and end the lease; where Redis is away just now, that is tried again beside."""
        trouble = await self._let_go(ticket, error)
        if trouble is None:
            return
        _log.warning("flush.lease_left", run_id=ticket.run_id, error=logged(trouble))
        if isinstance(trouble, TimeoutError | Unavailable | Uncertain) and not self._closed:
            task = asyncio.create_task(self._let_go_later(ticket, error), name=f"end of {ticket.run_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _let_go_later(self, ticket: Ticket, error: str) -> None:
        """Try until the lease would have run out: others, who could flush once Redis is back, would wait for that."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._steps.lease_ms / 1000
        while clock() < until:
            await asyncio.sleep(LONGEST_POLL_S)
            if await self._let_go(ticket, error) is None:
                return

    async def _let_go(self, ticket: Ticket, error: str) -> TimeoutError | UpstreamError | None:
        """Try once; return what kept it from being done."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._steps.fail(ticket, error)
        except (TimeoutError, UpstreamError) as trouble:
            return trouble
        return None
