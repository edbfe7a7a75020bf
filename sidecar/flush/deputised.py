"""`DeputisedLabour`: leaves the work of large flushes to a `Deputy`, and has the rest done here.

A large flush takes seconds of the interpreter: pages of messages are parsed, a plan is made, sentences are rated. On
the event loop, or on a thread beside it, every client would wait for some of that. A small one is over sooner than a
process could be started.
"""

from __future__ import annotations

from typing import Any

import structlog

from sidecar.errors import DeputyLost, DeputyMissing, SummaryProblem
from sidecar.flush.deputy import Deputy
from sidecar.flush.errands import Kind
from sidecar.flush.labour import Labour, Progress
from sidecar.flush.ticket import PlanFacts, Ticket
from sidecar.memory.definition import EXTRACTIVE, Definition
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from sidecar.store.flush_words import Deed

LARGE_MESSAGES = 5_000
"""A memory with as many is left to the deputy: its flush takes half a second of the interpreter, and to start a deputy
takes a second of CPU time. One with 2,000 takes 0.2 s, in steps after each of which clients are served."""

LARGE_TOKENS = 1_000_000
"""So is one with fewer messages, and large ones: 4 MB of text."""

TRIES = 2
"""Of a piece of work whose process was lost: somebody may have killed one by mistake, nobody kills two."""

_log = structlog.get_logger(__name__)


class DeputisedLabour:
    """Work, here or by a deputy.

    Args:
        own: does it here.
        deputy: does it elsewhere.
        store: tells how large a memory is, for a preview.
        metrics: counts summaries that fail; None counts nothing.
        large_messages, large_tokens: from where on a memory is left to the deputy.
    """

    def __init__(
        self,
        own: Labour,
        *,
        deputy: Deputy,
        store: FlushStore,
        metrics: Metrics | None,
        large_messages: int = LARGE_MESSAGES,
        large_tokens: int = LARGE_TOKENS,
    ) -> None:
        self._own = own
        self._deputy = deputy
        self._store = store
        self._metrics = metrics
        self._large_messages = large_messages
        self._large_tokens = large_tokens

    async def plan(self, ticket: Ticket, definition: Definition) -> PlanFacts:
        if self._is_large(ticket.messages, ticket.tokens):
            try:
                return await self._done("plan", definition, ticket=ticket)  # type: ignore[no-any-return]
            except DeputyMissing as missing:
                _log.warning("deputy.missing", why=missing.why)
        return await self._own.plan(ticket, definition)

    async def summarise(self, ticket: Ticket, definition: Definition, progress: Progress, *, fallback: bool) -> int:
        # Others than the built-in one wait for a model, and their clients are here.
        built_in = fallback or definition.flush.summariser == EXTRACTIVE
        if built_in and self._is_large(ticket.messages, ticket.tokens):
            try:
                weight: int = await self._done("summarise", definition, ticket=ticket)
            except DeputyMissing as missing:
                _log.warning("deputy.missing", why=missing.why)
            except SummaryProblem as problem:
                if self._metrics is not None and not fallback:
                    self._metrics.summary_failed(problem.reason)
                raise
            else:
                progress()
                return weight
        return await self._own.summarise(ticket, definition, progress, fallback=fallback)

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        if self._is_large(ticket.messages, ticket.tokens):
            try:
                return await self._done("prepare", definition, ticket=ticket)  # type: ignore[no-any-return]
            except DeputyMissing as missing:
                _log.warning("deputy.missing", why=missing.why)
        return await self._own.prepare(ticket, definition)

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        totals = await self._store.totals(order.definition, order.instance)
        if self._is_large(totals.messages, totals.tokens):
            try:
                return await self._done("preview", definition, order=order)  # type: ignore[no-any-return]
            except (DeputyMissing, DeputyLost) as trouble:
                _log.warning("deputy.missing", why=trouble.why)
        return await self._own.preview(order, definition)

    def _is_large(self, messages: int, tokens: int) -> bool:
        return messages >= self._large_messages or tokens >= self._large_tokens

    async def _done(
        self, kind: Kind, definition: Definition, *, ticket: Ticket | None = None, order: FlushOrder | None = None
    ) -> Any:
        for _ in range(TRIES - 1):
            try:
                return await self._deputy.do(kind, definition, ticket=ticket, order=order)
            except DeputyLost as lost:
                _log.warning("deputy.lost", errand=kind, why=lost.why)
        return await self._deputy.do(kind, definition, ticket=ticket, order=order)
