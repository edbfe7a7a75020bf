"""The `MemorySweep` workflow: one look at the outbox, as a run that Temporal's UI shows with what it found.

The counterparts are `schedule`, which has it started, and `sweep`, the activity that does the work. In a module of its
own beside `workflow`, because the sandbox imports each anew for every run.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from sidecar.temporal.messages import SWEEP, SWEEP_OUTBOX, SweepRequest, SweepResult

SWEEP_HEARTBEAT = timedelta(seconds=15)
"""A page of the outbox with its starts takes a second or two; a worker that is silent this long is dead."""

SWEEP_LIMIT = timedelta(minutes=5)
"""For one try: ten thousand starts at the rate of `sweep.STARTS_PER_S` take a minute."""

SWEEP_RETRY = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_attempts=3)
"""For a blip of Redis or Temporal. After that the run fails visibly, and the schedule brings the next sweep."""


@workflow.defn(name=SWEEP)
class MemorySweep:
    """Starts the flushes that nobody was told of, and takes out the marks of memories that have expired."""

    @workflow.run
    async def run(self, request: SweepRequest) -> SweepResult:
        """Return what was found; counts only."""
        result: SweepResult = await workflow.execute_activity(
            SWEEP_OUTBOX,
            request,
            result_type=SweepResult,
            start_to_close_timeout=SWEEP_LIMIT,
            heartbeat_timeout=SWEEP_HEARTBEAT,
            retry_policy=SWEEP_RETRY,
            summary="look at the outbox",
        )
        workflow.set_current_details(
            f"{result.marks} marks: {result.started} started, {result.joined} under way, {result.gone} expired, "
            f"{result.left} not ours"
        )
        return result
