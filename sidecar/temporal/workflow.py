"""The `MemoryFlush` workflow: begin, plan, summarise or fall back, commit, and what to do when one of them cannot.

The counterpart is `activities`, found by name only: this module is imported anew for every run, in Temporal's
sandbox, so it imports almost nothing. It decides the order of the steps; what they do, and why a flush loses
nothing whatever happens between two of them, is in `sidecar.flush.steps`.

Any change of the order of the calls below breaks the runs that are under way during an upgrade: a replay test
holds it against stored histories. Use `workflow.patched` where the order must change.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from sidecar.temporal.messages import (
        BEGIN,
        COMMIT,
        FAIL,
        FALL_BACK,
        PLAN,
        REFUSED,
        STORE_TROUBLE,
        SUMMARISE,
        UNKNOWN_MEMORY,
        WORKFLOW,
        WRONG_PROJECT,
        BeginRequest,
        BeginResult,
        FailRequest,
        FallBackRequest,
        FlushRequest,
        FlushResult,
        PlanResult,
        StepTicket,
    )

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""A worker that was silent this long is dead and another one takes its step. Long enough for the stall of a
large summary on a busy machine, short enough that a killed worker costs seconds."""

STORE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=12,
)
"""About three minutes of trying: longer than any failover of Redis. After that the run ends visibly; the mark in
the outbox remains, so the flush itself is only postponed."""

SUMMARY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=3.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=5,
)
"""Each try may be a paid call of a model, and 40 seconds of pauses outlast the usual rate limit."""

NOT_FOR_A_FALLBACK = STORE_TROUBLE | {REFUSED, UNKNOWN_MEMORY, WRONG_PROJECT, "Cancelled"}
"""Failure types of the summary that say nothing about the summariser. With all others the flush goes on without it."""

FALLS_BACK = "fall-back"
"""Patch: runs of earlier versions ended where a summary could not be made, and their histories say so."""

RECORD_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
"""Recording a failure is best effort: its cause is often that Redis is away, and the lease ends by itself."""

# Limits of one try. There is none for the wait for a worker: a run stays pending while there is none, which is
# what an operator expects to see, and it ends by itself once one comes.
ONE_SCRIPT = timedelta(seconds=30)
"""For a step that is one short script: mostly the patience of a Redis client."""

PLAN_LIMIT = timedelta(minutes=5)
"""Reads the facts of every message, millions at most."""

SUMMARISE_LIMIT = timedelta(minutes=30)
"""Many calls of a slow model."""

FALL_BACK_LIMIT = timedelta(minutes=5)
"""Reads what is removed, as the summary does, and asks no model."""

COMMIT_LIMIT = timedelta(minutes=1)
"""One script, but over everything that is removed."""

JOINED_WAITS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 15, 15, 15, 15))
"""Pauses while another flush holds the memory; 75 seconds in all, so the lease of a dead holder (60 s) runs out."""

MAX_ROUNDS = 8
"""Most commits of one run. A memory that needs still more keeps its mark and gets a run of its own, which keeps
each history short."""

MAX_RESTARTS = 3
"""Most times a run begins anew because the memory moved on under it."""

BUSY = "FlushBusy"
"""Failure type: another flush held the memory through all of `JOINED_WAITS`."""

MAX_REASON_CHARS = 300
"""A reason is one line, in Temporal's UI and in MEMINFO."""


@workflow.defn(name=WORKFLOW)
class MemoryFlush:
    """Flushes one memory until it is below its threshold. Its id makes it the only such run of that memory."""

    def __init__(self) -> None:
        self._started = workflow.time()
        self._ticket: StepTicket | None = None
        self._begins = 0
        self._waits = 0
        self._restarts = 0

    @workflow.run
    async def run(self, request: FlushRequest) -> FlushResult:
        """Return how the flush ended.

        Raises:
            ApplicationError: it gave up; the memory is as it was. The run fails, so that the UI shows it in red.
        """
        total = await self._round(request)
        for _ in range(1, MAX_ROUNDS):
            if not total.again:
                break
            try:
                # What came meanwhile went over the threshold; the force of the order is spent.
                latest = await self._round(replace(request, force=False, target_tokens=None))
            except ApplicationError as trouble:
                # The earlier rounds are committed, so the run is no failure; the mark brings the next one.
                total = replace(total, error=trouble.message)
                break
            total = add(total, latest)
        workflow.set_current_details(f"{total.status}: {total.removed} messages removed")
        return replace(total, run_id=workflow.info().run_id)

    async def _round(self, request: FlushRequest) -> FlushResult:
        """Flush once. A round that gives up is recorded before it raises."""
        self._ticket = None
        try:
            return await self._tries(request)
        except (ActivityError, ApplicationError, asyncio.CancelledError) as trouble:
            kind, reason = describe(trouble)
            workflow.set_current_details(reason)
            await self._record(request, reason)
            if is_cancelled_exception(trouble):
                raise
            raise ApplicationError(reason, type=kind, non_retryable=True) from None

    async def _tries(self, request: FlushRequest) -> FlushResult:
        while True:
            begun = await self._begin(request)
            if begun.ticket is None:
                return begun.result or FlushResult(status="not-due")
            self._ticket = begun.ticket
            try:
                return await compact(begun.ticket)
            except ActivityError as refused:
                if failure_type(refused) != REFUSED or self._restarts == MAX_RESTARTS:
                    raise
                # Cleared, taken over or too late: nothing was changed. A new begin sees what is left to do, once
                # the lease is dropped in case it is still ours.
                self._restarts += 1
                await self._record(request, describe(refused)[1])

    async def _begin(self, request: FlushRequest) -> BeginResult:
        """Begin, after waiting for a flush of another engine, or for the lease of a run that was terminated."""
        # An id of its own for each begin that asks for a new flush, the same for all its tries: a begin with the
        # id of a flush that has ended answers with that one's result.
        self._begins += 1
        run_id = workflow.info().run_id
        order = BeginRequest(request, run_id if self._begins == 1 else f"{run_id}.{self._begins}")
        while True:
            begun: BeginResult = await workflow.execute_activity(
                BEGIN, order, result_type=BeginResult, **options("take the lease", ONE_SCRIPT)
            )
            if not begun.holder:
                return begun
            if self._waits == len(JOINED_WAITS):
                raise ApplicationError(f"run {begun.holder} holds the memory and does not end", type=BUSY)
            workflow.set_current_details(f"waiting for run {begun.holder}, which flushes this memory")
            await workflow.sleep(JOINED_WAITS[self._waits])
            self._waits += 1

    async def _record(self, request: FlushRequest, reason: str) -> None:
        """Note the failure on Redis and drop the lease, if that is possible at all."""
        failure = FailRequest(request, reason, workflow.time() - self._started, self._ticket)
        how = options("record the failure, drop the lease", ONE_SCRIPT, RECORD_RETRY)
        try:
            await workflow.execute_activity(FAIL, failure, **how)
        except ActivityError as trouble:
            workflow.logger.warning("flush.failure_not_recorded", extra={"facts": {"failure": failure_type(trouble)}})


async def compact(ticket: StepTicket) -> FlushResult:
    """Plan, summarise if the plan asks for it, and commit: also a plan to remove nothing, which ends the lease."""
    plan: PlanResult = await workflow.execute_activity(
        PLAN, ticket, result_type=PlanResult, **options("choose what to remove", PLAN_LIMIT)
    )
    what = f"{plan.removed} messages, {plan.freed_tokens} tokens"
    if plan.summarise:
        what += f", for a summary of {await summarise(ticket, what)} tokens"
    result: FlushResult = await workflow.execute_activity(
        COMMIT, ticket, result_type=FlushResult, **options(f"remove {what}", COMMIT_LIMIT)
    )
    return result


async def summarise(ticket: StepTicket, what: str) -> int:
    """Have the summary made, or what the definition wants in its place, and return its tokens.

    One fallback for each ticket: its plan, and so what the summary stands for, is another one after a new begin.
    """
    workflow.set_current_details(f"summarising {what}")
    how = options(f"summarise {what}", SUMMARISE_LIMIT, SUMMARY_RETRY)
    try:
        tokens: int = await workflow.execute_activity(SUMMARISE, ticket, result_type=int, **how)
    except ActivityError as trouble:
        kind, reason = describe(trouble)
        if kind in NOT_FOR_A_FALLBACK or not workflow.patched(FALLS_BACK):
            raise
    else:
        return tokens
    workflow.set_current_details(f"falling back: {reason}")
    how = options(f"fall back for {what}", FALL_BACK_LIMIT)
    weight: int = await workflow.execute_activity(FALL_BACK, FallBackRequest(ticket, reason), result_type=int, **how)
    return weight


def options(summary: str, limit: timedelta, retry: RetryPolicy = STORE_RETRY) -> workflow.ActivityConfig:
    """Return how a step is run. `summary` is its line in the UI, `limit` is for one try."""
    return workflow.ActivityConfig(
        start_to_close_timeout=limit, heartbeat_timeout=HEARTBEAT_TIMEOUT, retry_policy=retry, summary=summary
    )


def add(total: FlushResult, latest: FlushResult) -> FlushResult:
    """Sum up the rounds of one run: what was removed adds up, the totals are the latest ones."""
    if latest.status != "done":
        return replace(total, again=False)
    return replace(
        latest,
        removed=total.removed + latest.removed,
        tokens_freed=total.tokens_freed + latest.tokens_freed,
        shortened=total.shortened + latest.shortened,
        duration_ms=total.duration_ms + latest.duration_ms,
    )


def failure_type(trouble: BaseException) -> str:
    """Return the type of what went wrong: that of the activity's error, or `Timeout`, or `Cancelled`."""
    cause = trouble.cause if isinstance(trouble, ActivityError) else trouble
    if is_cancelled_exception(trouble):
        return "Cancelled"
    if isinstance(cause, TimeoutError):
        return "Timeout"
    if isinstance(cause, ApplicationError) and cause.type:
        return cause.type
    return type(cause).__name__


def describe(trouble: BaseException) -> tuple[str, str]:
    """Return type and one-line reason. It holds no content, because the activities put none into their errors."""
    kind = failure_type(trouble)
    if kind == "Cancelled":
        return kind, "cancelled"
    if not isinstance(trouble, ActivityError):
        return kind, f"{kind}: {getattr(trouble, 'message', '')}"[:MAX_REASON_CHARS]
    if isinstance(trouble.cause, TimeoutError):
        which = trouble.cause.type.name.lower().replace("_", "-") if trouble.cause.type else "unknown"
        return kind, f"{trouble.activity_type}: the worker did not answer in time ({which})"
    return kind, f"{trouble.activity_type}: {kind}: {getattr(trouble.cause, 'message', '')}"[:MAX_REASON_CHARS]
