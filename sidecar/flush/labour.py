"""The work of a flush that grows with the memory: planning, summing up, preparing the commit.

The counterpart is `steps`, which knows in which order this is done and what goes between. Two do the work: `OwnLabour`
in this process, and `deputised`, which leaves large memories to a process of their own. Everything that is made is laid
aside on Redis, under the fence of the flush, so work may break off anywhere, and be done again by another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from sidecar.errors import FlushRefused
from sidecar.flush import staging
from sidecar.flush.freeing import free_beside
from sidecar.flush.planning import Planning
from sidecar.flush.removal import Removal
from sidecar.flush.summing import Summing
from sidecar.flush.ticket import PlanFacts, Ticket
from sidecar.memory.definition import EXTRACTIVE, Definition
from sidecar.memory.label import label
from sidecar.memory.message import count_summary
from sidecar.memory.ports import FlushOrder, FlushOutcome, Partial, TextCounter
from sidecar.memory.stored_message import StoredMessage
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Deed, Work
from sidecar.store.lease import Lease

_log = structlog.get_logger(__name__)

Progress = Callable[[], None]


class Labour(Protocol):
    """Who does the work. Raises, besides what is named, `RedisRefused`, `Unavailable` or `Uncertain`."""

    async def plan(self, ticket: Ticket, definition: Definition) -> PlanFacts:
        """Do `FlushSteps.plan`."""
        ...

    async def summarise(self, ticket: Ticket, definition: Definition, progress: Progress, *, fallback: bool) -> int:
        """Do `FlushSteps.summarise`; with `fallback` by the built-in summariser, whatever the definition says."""
        ...

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        """Prepare the commit of the staged plan. Where that is refused, the commit script says why."""
        ...

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        """Do `FlushPreview.preview`."""
        ...


class OwnLabour:
    """The work, done in this process: on its event loop, and on threads where texts are many.

    Args:
        store: where the memories are.
        counter: gives the counter of an encoding.
        summing: makes the summaries.
        last_resort: makes those of a fallback.
        lease_ms: how long a run counts as alive without a sign of life.
    """

    def __init__(
        self,
        *,
        store: FlushStore,
        counter: Callable[[str], TextCounter],
        summing: Summing,
        last_resort: Summing,
        lease_ms: int,
    ) -> None:
        self._store = store
        self._counter = counter
        self._planning = Planning(store)
        self._removal = Removal(store.copies)
        self._summing = summing
        self._last_resort = last_resort
        self._lease_ms = lease_ms

    async def plan(self, ticket: Ticket, definition: Definition) -> PlanFacts:
        staged = await self._planning.staged(ticket, definition)
        code, first = await self._store.stage_plan(self.lease(ticket), staged)
        if code != "staged":
            raise FlushRefused(code)
        plan = staging.decode(first)
        if plan.drift_messages or plan.drift_tokens:
            _log.warning(
                "flush.totals_corrected",
                memory=label(ticket.definition, ticket.instance),
                messages=plan.drift_messages,
                tokens=plan.drift_tokens,
            )
        nothing = not plan.removed and not plan.shortened
        return PlanFacts(plan.removed, plan.freed_tokens, plan.summarise, nothing, plan.reached)

    async def summarise(self, ticket: Ticket, definition: Definition, progress: Progress, *, fallback: bool) -> int:
        work = await self.work(ticket)
        if work.summary_tokens is not None:
            return work.summary_tokens
        plan = staging.decode(work.plan)
        messages = await self._contents(ticket, plan, progress)
        earlier = await self._store.summary(ticket.definition, ticket.instance)
        count = self._counter(definition.encoding).count

        async def keep(partial: Partial) -> None:
            progress()
            code = await self._store.stage_partial(self.lease(ticket), partial)
            if code != "staged":
                raise FlushRefused(code)

        summing, name = self._summing, definition.flush.summariser
        if fallback:
            summing, name = self._last_resort, EXTRACTIVE
        budget = max(1, plan.summary_budget - count_summary("", count))
        text = await summing.make(name, earlier, messages, budget=budget, count=count, partial=work.partial, keep=keep)
        await free_beside(messages)
        progress()
        return await self.stage_summary(ticket, definition, text)

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        def count(text: str) -> int:
            # Only now: a vocabulary that is not loaded yet takes a part of a second, and few plans shorten anything.
            return self._counter(definition.encoding).count(text)

        work = await self._store.work(ticket.definition, ticket.instance, ticket.run_id)
        if work is not None:
            with suppress(FlushRefused):
                return await self._removal.prepare(self.lease(ticket), staging.decode(work.plan), definition, count)
        return Deed(ticket.strategy, 0, 0, 0, 0, 0, False, "", "")

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        return await self._planning.preview(order, definition)

    async def catch_up(self, ticket: Ticket, deed: Deed) -> Deed:
        """Prepare what was appended since `prepare` made the log anew."""
        return await self._removal.catch_up(self.lease(ticket), deed)

    async def work(self, ticket: Ticket) -> Work:
        """Return what the run has staged.

        Raises:
            FlushRefused: it has expired.
        """
        work = await self._store.work(ticket.definition, ticket.instance, ticket.run_id)
        if work is None:
            raise FlushRefused("lost-plan")
        return work

    async def stage_summary(self, ticket: Ticket, definition: Definition, text: str) -> int:
        """Stage a summary, and return its tokens as a message; 0 for none.

        Raises:
            FlushRefused: the memory has moved on.
        """
        weight = count_summary(text, self._counter(definition.encoding).count) if text else 0
        code = await self._store.stage_summary(self.lease(ticket), text, weight)
        if code != "staged":
            raise FlushRefused(code)
        return weight

    def lease(self, ticket: Ticket) -> Lease:
        """Return under what the run writes."""
        return Lease(ticket.definition, ticket.instance, ticket.run_id, ticket.epoch, ticket.fence, self._lease_ms)

    async def _contents(self, ticket: Ticket, plan: staging.StagedPlan, progress: Progress) -> list[StoredMessage]:
        messages: list[StoredMessage] = []
        for part in plan.ranges:
            async for page in self._store.contents(ticket.definition, ticket.instance, part.first, part.last):
                messages += page
                progress()
        if len(messages) != plan.removed:
            # The commit would refuse as well; a summary for nothing may cost a model's time.
            raise FlushRefused("stale-plan")
        return messages
