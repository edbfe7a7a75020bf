"""Gathers the facts of a memory and lets the planner decide; the steps stage what comes out, a preview only shows it.

Memories may hold millions of messages, so whatever is done to all of them at once is done on a thread: the event loop
serves clients. The decision itself is `memory.plan`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from sidecar.flush import staging
from sidecar.flush.facts import NEVER_READ, gone, to_facts
from sidecar.flush.freeing import free
from sidecar.flush.ticket import Ticket
from sidecar.memory.definition import STRATEGIES_BY_READS, Definition
from sidecar.memory.message import MessageFacts
from sidecar.memory.plan import SMALLEST_SUMMARY_TOKENS, Limits, forced, make_plan
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.store.flush_store import FlushStore


class Planning:
    """Plans over one store.

    Args:
        store: where the memories are.
    """

    def __init__(self, store: FlushStore) -> None:
        self._store = store

    async def staged(self, ticket: Ticket, definition: Definition) -> bytes:
        """Return the plan of a flush in the form that waits on Redis. O(n), see `FlushSteps.plan`."""
        facts, seen = await self._facts(ticket.definition, ticket.instance, ticket.last_id, ticket.strategy)
        # Whatever took messages away left their access times: deletions, other flushes, one that broke off.
        await self._store.forget_seen(ticket.definition, ticket.instance, gone(seen, facts, ticket.last_id))
        limits = _limits(definition, ticket.summary_tokens, ticket.target_tokens, facts, force=ticket.force)
        return await asyncio.to_thread(_staged_plan, ticket, facts, limits)

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        """Tell what a flush would do now; see `ports.FlushPreview`. O(n), and changes nothing."""
        totals = await self._store.totals(order.definition, order.instance)
        strategy = strategy_of(definition, order.strategy)
        facts, _ = await self._facts(order.definition, order.instance, "+", strategy)
        if not facts:
            return FlushOutcome("not-due")  # as a begin would say, FORCE or not
        limits = _limits(definition, totals.summary_tokens, order.target_tokens, facts, force=order.force)
        return await asyncio.to_thread(_previewed, strategy, facts, limits)

    async def _facts(
        self, definition: str, instance: str, last_id: str, strategy: str
    ) -> tuple[list[MessageFacts], Mapping[str, int]]:
        """Return the facts, and the access times by id where the strategy asks for them."""
        kept = await self._store.kept_ids(definition, instance)
        seen = await self._store.seen(definition, instance) if strategy in STRATEGIES_BY_READS else NEVER_READ
        facts: list[MessageFacts] = []
        async for page in self._store.facts(definition, instance, last_id):
            facts += to_facts(page, kept, seen)
        return facts, seen


def strategy_of(definition: Definition, asked: str) -> str:
    """Return how to flush: as asked, else as the definition says. A buffer never has a summary, whatever is asked."""
    return "fifo" if definition.type == "buffer" else asked or definition.flush.strategy


def _staged_plan(ticket: Ticket, facts: list[MessageFacts], limits: Limits) -> bytes:
    plan = make_plan(ticket.strategy, facts, limits)
    staged = staging.stage(
        plan,
        facts,
        summary_budget=limits.summary_tokens,
        messages=ticket.messages,
        tokens=ticket.tokens,
    )
    free(facts)
    return staging.encode(staged)


def _previewed(strategy: str, facts: list[MessageFacts], limits: Limits) -> FlushOutcome:
    plan = make_plan(strategy, facts, limits)
    tokens = sum(fact.tokens for fact in facts)
    freed = plan.freed_tokens + plan.shortened_tokens
    outcome = FlushOutcome(
        status="done",
        strategy=strategy,
        removed=plan.removed,
        messages=len(facts) - plan.removed,
        tokens=tokens - freed,
        tokens_freed=freed,
        shortened=len(plan.shortened),
    )
    free(facts)
    return outcome


def _limits(
    definition: Definition, summary_tokens: int, target: int | None, facts: list[MessageFacts], *, force: bool
) -> Limits:
    limits = Limits(
        target_tokens=definition.target_tokens if target is None else target,
        target_messages=definition.target_messages if target is None else None,
        summary_tokens=definition.flush.summary_tokens,
        current_summary_tokens=summary_tokens,
        tool_result_tokens=definition.flush.tool_result_tokens,
        priorities=definition.priorities,
    )
    if target is not None:  # whoever names a target means it, and not half of what there is
        return replace(limits, summary_tokens=min(limits.summary_tokens, max(target // 2, SMALLEST_SUMMARY_TOKENS)))
    return forced(limits, facts) if force else limits
