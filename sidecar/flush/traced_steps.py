"""`TracedSteps`: the steps of a flush, each a span of the trace of the command that led to it.

A flush that no traced command led to, such as one that the sweeper found, is in no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Begun, PlanFacts, Ticket
from sidecar.memory.ports import FlushOutcome
from sidecar.memory.tracing import Fact, Tracer, Untraced


class TracedSteps(FlushSteps):
    """The steps, traced.

    Attributes:
        tracer: records them.
    """

    tracer: Tracer = Untraced()

    async def begin(
        self,
        definition: str,
        instance: str,
        *,
        run_id: str,
        force: bool,
        strategy: str = "",
        target_tokens: int | None = None,
        trace: str = "",
    ) -> Begun:
        """See `FlushSteps.begin`."""
        with self.tracer.step("flush begin", trace, {"definition": definition, "run_id": run_id}) as told:
            begun = await super().begin(
                definition,
                instance,
                run_id=run_id,
                force=force,
                strategy=strategy,
                target_tokens=target_tokens,
                trace=trace,
            )
            told["status"] = begun.status
            return begun

    async def plan(self, ticket: Ticket) -> PlanFacts:
        """See `FlushSteps.plan`."""
        with self._step("plan", ticket) as told:
            facts = await super().plan(ticket)
            told |= {"removed": facts.removed, "tokens_freed": facts.freed_tokens}
            return facts

    async def summarise(self, ticket: Ticket, progress: Callable[[], None]) -> int:
        """See `FlushSteps.summarise`."""
        with self._step("summarise", ticket) as told:
            told["summary_tokens"] = tokens = await super().summarise(ticket, progress)
            return tokens

    async def fall_back(self, ticket: Ticket, reason: str, progress: Callable[[], None]) -> int:
        """See `FlushSteps.fall_back`."""
        with self._step("fall back", ticket) as told:
            told["summary_tokens"] = tokens = await super().fall_back(ticket, reason, progress)
            return tokens

    async def commit(self, ticket: Ticket) -> FlushOutcome:
        """See `FlushSteps.commit`."""
        with self._step("commit", ticket) as told:
            outcome = await super().commit(ticket)
            told |= {"removed": outcome.removed, "tokens_freed": outcome.tokens_freed}
            return outcome

    async def fail(self, ticket: Ticket, error: str) -> None:
        """See `FlushSteps.fail`."""
        with self._step("fail", ticket):
            await super().fail(ticket, error)

    def _step(self, name: str, ticket: Ticket) -> AbstractContextManager[dict[str, Fact]]:
        about = {"definition": ticket.definition, "strategy": ticket.strategy, "run_id": ticket.run_id}
        return self.tracer.step(f"flush {name}", ticket.trace, about)
