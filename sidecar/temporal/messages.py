"""What travels through Temporal: one dataclass per message, and the names that both sides agree on.

The counterparts are `sidecar.flush.ticket` and `ports.FlushOutcome`, whose fields are repeated here: the sandbox
resolves types in this module only, and runs that began before an upgrade carry the old form (give a new field a
default). Temporal keeps every value for weeks and shows it in its UI, so no message text and no summary is in
any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WORKFLOW = "MemoryFlush"
SWEEP = "MemorySweep"

BEGIN = "begin_flush"
PLAN = "plan_flush"
SUMMARISE = "summarise_flush"
FALL_BACK = "fall_back_flush"
COMMIT = "commit_flush"
FAIL = "fail_flush"
SWEEP_OUTBOX = "sweep_outbox"

REFUSED = "FlushRefused"
"""Failure type: the memory has moved on, nothing was changed, and a new begin tells what is left to do."""

NO_SUMMARY = "NoSummary"
"""Failure type: no summary came about, and the definition rather keeps the messages. A new begin would not help."""

UNKNOWN_MEMORY = "UnknownMemory"
WRONG_PROJECT = "WrongProject"
"""Failure types: this worker does not serve the memory at all."""

STORE_TROUBLE = frozenset({"Unavailable", "Uncertain", "RedisRefused"})
"""Failure types: Redis did not do its part, so a fallback could not stage its summary either. The mark brings the next
run, whose summary may be a good one."""


@dataclass(frozen=True, slots=True)
class FlushRequest:
    """The argument of the workflow: which memory to flush, whether below its threshold too, and how; and the
    `traceparent` of what led to it, or ""."""

    definition: str
    instance: str
    project: str = "default"
    force: bool = False
    strategy: str = ""
    target_tokens: int | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class BeginRequest:
    """Ask for the lease. `run_id` is the same in every try of one round, so that a repeated try is harmless."""

    request: FlushRequest
    run_id: str


@dataclass(frozen=True, slots=True)
class StepTicket:
    """A `Ticket` on its way. Every step checks `project`, because any worker of the task queue may get it."""

    project: str
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
class FlushResult:
    """How a flush ended: a `FlushOutcome`."""

    status: Literal["done", "not-due", "failed"]
    run_id: str = ""
    strategy: str = ""
    removed: int = 0
    messages: int = 0
    tokens: int = 0
    tokens_freed: int = 0
    summary_tokens: int = 0
    duration_ms: int = 0
    error: str = ""
    again: bool = False
    shortened: int = 0
    certain: bool = True


@dataclass(frozen=True, slots=True)
class BeginResult:
    """One of: the ticket of a flush that begins, the result of one that ended before or is not due, or the run
    that holds the memory."""

    ticket: StepTicket | None = None
    result: FlushResult | None = None
    holder: str = ""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What the commit will remove, and whether a summary must be made first."""

    removed: int
    freed_tokens: int
    summarise: bool


@dataclass(frozen=True, slots=True)
class FallBackRequest:
    """Do without the summary that was wanted. `reason` is the type of what kept it from being made, and one line."""

    ticket: StepTicket
    reason: str


@dataclass(frozen=True, slots=True)
class FailRequest:
    """Record that a flush gave up.

    Args:
        request: what was asked for.
        error: type and short reason, one line.
        seconds: how long the run took.
        ticket: None if it failed before it had one; then it is only counted.
    """

    request: FlushRequest
    error: str
    seconds: float
    ticket: StepTicket | None = None


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """Look at the outbox of a project, for marks that are older than `grace_ms`."""

    project: str
    grace_ms: int


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep found and did.

    Args:
        marks: in the outbox when it began.
        started: flushes that it started.
        joined: marks whose flush was under way.
        gone: marks of memories that have expired, taken out.
        left: marks that no worker here can serve: of unknown definitions, or no names at all.
    """

    marks: int = 0
    started: int = 0
    joined: int = 0
    gone: int = 0
    left: int = 0
