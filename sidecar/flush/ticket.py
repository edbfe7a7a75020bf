"""What the steps of a flush hand to each other through an engine.

Plain values only, which an engine may write down and read back as JSON, in another process and much later. No
text of a message and no summary is in here: those wait on Redis, because an engine keeps and shows what it is
given. Imports neither Redis nor the steps, so that a workflow may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidecar.memory.ports import FlushOutcome


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to flush one memory once, and the snapshot that the flush is about.

    Args:
        definition, instance: which memory.
        run_id: who flushes; the same for every retry of a step.
        strategy: how, a name in `memory.plan.STRATEGIES`.
        force: whether it flushes below the threshold too.
        epoch: life of the memory at the begin, opaque; a cleared memory has another one.
        fence: number of this flush. A later flush has a higher one, and then this one is refused.
        generation: appends above the threshold up to the begin. More at the commit mean "look again".
        last_id: newest message of the snapshot; nothing after it is touched.
        messages, tokens: totals of the log at the begin.
        summary_tokens: what the summary weighed at the begin.
        begun_ms: time of the begin by Redis's clock.
        target_tokens: what was asked for instead of the definition's target, or None.
        trace: `traceparent` of what led to the flush, "" where it is in no trace.
    """

    definition: str
    instance: str
    run_id: str
    strategy: str
    force: bool
    epoch: str
    fence: int
    generation: int
    last_id: str
    messages: int
    tokens: int
    summary_tokens: int
    begun_ms: int
    target_tokens: int | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """What became of the wish to flush.

    Args:
        status: `begun` (there is a ticket), `joined` (another run is at it), `not-due`, or `done` (this run
            ended before; its begin was repeated).
        run_id: the run that flushes; with `joined` the other one's.
        ticket: with `begun`, else None.
        outcome: with `not-due` and `done`, else None.
    """

    status: Literal["begun", "joined", "not-due", "done"]
    run_id: str
    ticket: Ticket | None = None
    outcome: FlushOutcome | None = None


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What the staged plan will do: the numbers of a `Plan`, no ids. `nothing`: it removes no message."""

    removed: int
    freed_tokens: int
    summarise: bool
    nothing: bool
    reached: bool
