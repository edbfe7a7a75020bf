"""Taking the steps of a flush one by one."""

from __future__ import annotations

from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket
from sidecar.memory.ports import FlushOutcome
from tests.flush.memories import LiveMemory


async def begin(steps: FlushSteps, memory: LiveMemory, run_id: str = "a", *, force: bool = False) -> Ticket:
    """Begin, and return the ticket."""
    begun = await steps.begin(*memory.address, run_id=run_id, force=force)
    assert begun.status == "begun"
    assert begun.ticket is not None
    return begun.ticket


async def flush(steps: FlushSteps, memory: LiveMemory, run_id: str = "a", *, force: bool = False) -> FlushOutcome:
    """Take all steps."""
    ticket = await begin(steps, memory, run_id, force=force)
    if (await steps.plan(ticket)).summarise:
        await steps.summarise(ticket, lambda: None)
    return await steps.commit(ticket)


async def take(steps: FlushSteps, step: str, ticket: Ticket) -> None:
    """Take one step by its name."""
    if step == "plan":
        await steps.plan(ticket)
    elif step == "summarise":
        await steps.summarise(ticket, lambda: None)
    elif step == "commit":
        await steps.commit(ticket)
    else:
        await steps.renew(ticket)
