"""What Temporal knows of the flushes: its runs of `MemoryFlush`, with their results and their histories."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from sidecar.flush.names import workflow_id
from sidecar.temporal.messages import WORKFLOW, FlushResult

AT_ONCE = 16
"""Results that are asked for at a time."""


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs together.

    Args:
        by_status: how many there are of each of Temporal's statuses (`COMPLETED`, `FAILED`, `RUNNING`, …).
        by_outcome: how many completed runs returned each status of a `FlushResult`.
        removed: messages that the completed runs removed.
        events: entries of all histories.
    """

    by_status: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    events: int = 0


async def flush_runs(address: str, prefix: str = "") -> Runs:
    """Return what the Temporal at `address` (`host:port`, namespace `default`) tells.

    Args:
        prefix: only of the memories whose names (`MemoryKeys.name`) begin with this; "" for all.
    """
    client = await Client.connect(address)
    by_status: Counter[str] = Counter()
    events = 0
    done: list[WorkflowHandle[object, FlushResult]] = []
    async for run in client.list_workflows(
        f"WorkflowType = '{WORKFLOW}' AND WorkflowId STARTS_WITH '{workflow_id(prefix)}'"
    ):
        status = run.status or WorkflowExecutionStatus.RUNNING
        by_status[status.name] += 1
        events += run.history_length
        if status is WorkflowExecutionStatus.COMPLETED:
            done.append(client.get_workflow_handle(run.id, run_id=run.run_id, result_type=FlushResult))
    results = await _results(done)
    return Runs(by_status, Counter(result.status for result in results), sum(one.removed for one in results), events)


async def _results(handles: list[WorkflowHandle[object, FlushResult]]) -> list[FlushResult]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def result(handle: WorkflowHandle[object, FlushResult]) -> FlushResult:
        async with slots:
            return await handle.result(follow_runs=False)

    return list(await asyncio.gather(*map(result, handles)))
