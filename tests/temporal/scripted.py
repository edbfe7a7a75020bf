"""`ScriptedSteps`: the steps of a flush without a store, for what a real one cannot be brought to on demand.

That the real steps behave like this is tested in `tests/flush`; that both work with the workflow, in
`test_flush_on_redis`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Begun, PlanFacts, Ticket
from sidecar.memory.ports import FlushOutcome

Step = Literal["begin", "plan", "summarise", "fall_back", "commit", "fail", "renew"]

PLAN = PlanFacts(removed=5, freed_tokens=50, summarise=True, nothing=False, reached=True)
SUMMARY_TOKENS = 12


def ticket(run_id: str, definition: str = "chat", instance: str = "i", *, force: bool = False) -> Ticket:
    """Return a ticket as begin would give it."""
    return Ticket(
        definition=definition,
        instance=instance,
        run_id=run_id,
        strategy="hybrid_summary",
        force=force,
        epoch="1732312345678901",
        fence=1,
        generation=1,
        last_id="1732312345678-0",
        messages=10,
        tokens=100,
        summary_tokens=0,
        begun_ms=1732312345678,
    )


def done(run_id: str = "", *, again: bool = False) -> FlushOutcome:
    """Return the outcome of a commit."""
    return FlushOutcome("done", run_id, "hybrid_summary", 5, 5, 50, 50, SUMMARY_TOKENS, 3, again=again)


class ScriptedSteps(FlushSteps):
    """Gives each step's scripted answers one after the other, and a flush that goes well where there is none.

    An answer is a value, an exception, which is raised, or an async function, which is awaited. `calls` are the
    steps in their order, `orders` the run id and force of each begin, `errors` the texts given to fail,
    `reasons` those given to fall back.
    """

    def __init__(self, **answers: Iterable[Any]) -> None:
        self.lease_ms = 60_000
        self.calls: list[str] = []
        self.ways: list[tuple[str, int | None]] = []
        self.orders: list[tuple[str, bool]] = []
        self.errors: list[str] = []
        self.reasons: list[str] = []
        self._answers = {step: deque(values) for step, values in answers.items()}

    async def _answer(self, step: Step, usual: Any) -> Any:
        self.calls.append(step)
        scripted = self._answers.get(step)
        answer = scripted.popleft() if scripted else usual
        if isinstance(answer, Exception):
            raise answer
        return await answer() if callable(answer) else answer

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
        self.orders.append((run_id, force))
        self.ways.append((strategy, target_tokens))
        begun_ticket = replace(ticket(run_id, definition, instance, force=force), trace=trace)
        usual = Begun("begun", run_id, ticket=begun_ticket)
        begun: Begun = await self._answer("begin", usual)
        return begun

    async def plan(self, ticket: Ticket) -> PlanFacts:
        facts: PlanFacts = await self._answer("plan", PLAN)
        return facts

    async def summarise(self, ticket: Ticket, progress: Callable[[], None]) -> int:
        progress()
        tokens: int = await self._answer("summarise", SUMMARY_TOKENS)
        return tokens

    async def fall_back(self, ticket: Ticket, reason: str, progress: Callable[[], None]) -> int:
        self.reasons.append(reason)
        tokens: int = await self._answer("fall_back", SUMMARY_TOKENS)
        return tokens

    async def commit(self, ticket: Ticket) -> FlushOutcome:
        outcome: FlushOutcome = await self._answer("commit", done(ticket.run_id))
        return outcome

    async def fail(self, ticket: Ticket, error: str) -> None:
        self.errors.append(error)
        await self._answer("fail", None)

    async def renew(self, ticket: Ticket) -> None:
        await self._answer("renew", None)
