"""The Schedule that has the outbox swept: made by whichever worker comes first, and the same for all of them.

The counterpart is `sweep_workflow`. A Schedule instead of a loop in each worker, because it is one per project however
many workers there are, never overlaps with itself, and can be seen, paused and triggered by hand in Temporal's UI. A
paused one stays paused: nothing here resumes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from sidecar.temporal.connection import explain
from sidecar.temporal.messages import SWEEP, SweepRequest
from sidecar.temporal.sweep import SweepActivity

INTERVAL_S = 60.0
"""Between two sweeps. They find what a lost notification or an outage left over, which is rare; each is a run of its
own, and a run a minute is little to keep and to pay for."""

GRACE_MS = 1_000
"""Younger marks are being served by the sidecar that set them."""

ENSURE_SECONDS = 5.0
"""Limit of making the Schedule. A worker that cannot (it may lack the right) flushes all the same."""

RUN_LIMIT = timedelta(minutes=10)
"""A sweep that nobody takes, because all workers are away, ends after this: until then it keeps the next one back."""

SHORTEST_CATCHUP = timedelta(seconds=10)
"""Temporal takes no less. What a server missed while it was down is one sweep, not all of them."""

_log = structlog.get_logger(__name__)


def schedule_id(project: str) -> str:
    """Return the Schedule's id, which is the beginning of its runs' ids too."""
    return f"memsidecar-sweep:{project}"


@dataclass(frozen=True, slots=True)
class SweepSchedule:
    """When the outbox of `project` is swept: every `interval_s` seconds, for marks older than `grace_ms`."""

    project: str
    interval_s: float = INTERVAL_S
    grace_ms: int = GRACE_MS

    async def ensure(self, client: Client, task_queue: str) -> None:
        """Make the Schedule, or bring the one that is there up to date. Trouble is logged, not raised.

        Args:
            client: on the namespace of the flushes.
            task_queue: whose workers sweep.
        """
        try:
            async with asyncio.timeout(ENSURE_SECONDS):
                await self._ensure(client, task_queue)
        except (RPCError, RuntimeError, OSError) as trouble:
            _log.warning(
                "temporal.sweep_not_scheduled",
                schedule=schedule_id(self.project),
                error=explain(trouble),
            )

    async def _ensure(self, client: Client, task_queue: str) -> None:
        wanted = self._schedule(task_queue)
        try:
            # At once as well: what is left over from before has waited long enough.
            await client.create_schedule(schedule_id(self.project), wanted, trigger_immediately=True)
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(schedule_id(self.project))

            async def update(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
                return await self._changed(client, found.description.schedule, wanted)

            await handle.update(update)

    async def _changed(self, client: Client, there: Schedule, wanted: Schedule) -> ScheduleUpdate | None:
        """Return what to make of the Schedule that is there, which may be paused; None if it is as wanted."""
        wanted.state = there.state
        now, then = there.action, wanted.action
        assert isinstance(now, ScheduleActionStartWorkflow)
        assert isinstance(then, ScheduleActionStartWorkflow)
        argument = [SweepRequest(self.project, self.grace_ms)]
        [payload] = await client.data_converter.encode(argument)
        same = (
            there.spec.intervals == wanted.spec.intervals
            and (now.workflow, now.task_queue) == (then.workflow, then.task_queue)
            and [getattr(each, "data", None) for each in now.args] == [payload.data]
        )
        return None if same else ScheduleUpdate(wanted)

    def _schedule(self, task_queue: str) -> Schedule:
        every = timedelta(seconds=self.interval_s)
        return Schedule(
            action=ScheduleActionStartWorkflow(
                SWEEP,
                SweepRequest(self.project, self.grace_ms),
                id=schedule_id(self.project),
                task_queue=task_queue,
                execution_timeout=RUN_LIMIT,
                static_summary=f"look for memories of {self.project} that wait for a flush",
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=max(every, SHORTEST_CATCHUP)),
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a worker needs to sweep: when, and how."""

    schedule: SweepSchedule
    activities: SweepActivity
