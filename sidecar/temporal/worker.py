"""The worker: polls Temporal for flushes and runs them, whatever Temporal does. The counterpart is `starter`.

Runs as a process of its own (`memsidecar worker`) or inside the sidecar on a laptop. It only ends when it is told
to: a worker that exits because Temporal restarts would need somebody to start it again. Signals, exit codes and
the life of the Redis connection belong to the caller.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from structlog.typing import FilteringBoundLogger
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.converter import DataConverter
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.connection import (
    DEFAULT_ADDRESS,
    DEFAULT_NAMESPACE,
    DEFAULT_TASK_QUEUE,
    Security,
    connect,
    explain,
)
from sidecar.temporal.schedule import Sweep
from sidecar.temporal.sweep_workflow import MemorySweep
from sidecar.temporal.workflow import HEARTBEAT_TIMEOUT, MemoryFlush

READY = "worker ready"
"""Logged each time polling begins; who starts a worker waits for these words in its output."""

CONNECT_SECONDS = 5.0
"""Limit of one attempt to connect, name resolution and TLS included."""

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
"""Between attempts: doubled up to the longest, each one varied by half, so that a fleet does not come back at once."""

GRACE_SECONDS = 20.0
"""For steps that run when the worker is told to stop. After it they are cancelled, and another worker takes them.
Below the 30 s that Kubernetes gives a pod."""

WATCHDOG_SECONDS = 5.0
"""Limit of what comes after the grace. The SDK has none of its own and waits for a server that may be gone."""

MAX_STEPS = 32
"""Steps at the same time. One that summarises with a model waits for it most of the time."""

WORKFLOW_TASKS = 8
"""Workflow tasks at the same time; each takes a thread for a few milliseconds of CPU."""

CACHED_RUNS = 200
"""Runs kept in memory between their steps, 150 kB each (measured, step included); the others are replayed."""

POLLS = 2
"""Open questions for work, of each kind. Each brings one task per round trip, which is far more than the steps need;
and each that a frozen worker leaves open swallows one task until that times out. The SDK's default is five."""

READY_CHECK_SECONDS = 0.02
"""The SDK says nothing when it begins to poll; this is how often it is looked at."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How much a worker takes on, and as what it presents itself.

    Args:
        max_steps: how many steps run at the same time; the others wait on Temporal, for any worker.
        workflow_tasks: how many workflow tasks run at the same time.
        cached_runs: how many runs are kept in memory between their steps.
        polls: open questions for work, of each kind; at least 2.
        grace_seconds: how long steps that run may take to end after the worker was told to stop.
        deployment, build_id: name of the worker's deployment and its version, both or neither. With them Temporal gives
            it runs only once that version is made the current one, or ramped up to.
    """

    max_steps: int = MAX_STEPS
    workflow_tasks: int = WORKFLOW_TASKS
    cached_runs: int = CACHED_RUNS
    polls: int = POLLS
    grace_seconds: float = GRACE_SECONDS
    deployment: str | None = None
    build_id: str | None = None

    def versioning(self) -> WorkerDeploymentConfig | None:
        """Return what the SDK takes; None for a worker without a version.

        Runs move on to the current version: today's code replays the histories of all earlier ones. A pinned run would
        wait for workers of its version for ever once those are gone, and since later orders of its memory join it, so
        would the memory. Said here and not at the workflows, because Temporal refuses it from a worker without a
        version.
        """
        if self.deployment is None or self.build_id is None:
            return None
        return WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name=self.deployment, build_id=self.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
        )


async def run_worker(
    *,
    activities: FlushActivities,
    stop: asyncio.Event,
    address: str = DEFAULT_ADDRESS,
    namespace: str = DEFAULT_NAMESPACE,
    task_queue: str = DEFAULT_TASK_QUEUE,
    security: Security | None = None,
    converter: DataConverter = DataConverter.default,
    options: WorkerOptions | None = None,
    sweep: Sweep | None = None,
    on_polling: Callable[[bool], None] = lambda _: None,
) -> None:
    """Serve flushes until `stop` is set, through outages of Temporal before and after the start.

    Args:
        activities: the steps, bound to Redis.
        stop: ends the worker, within the grace of `options` and `WATCHDOG_SECONDS`.
        address: `host:port` of Temporal's frontend.
        namespace: where the runs live; it must exist, and the worker waits for it.
        task_queue: the one that the starters use.
        security: TLS and identity; None is plain TCP.
        converter: through which everything goes that Temporal keeps; see `codec`.
        options: None are the defaults.
        sweep: looks for marks that nobody serves, on a schedule; None sweeps nothing here.
        on_polling: is told each time it begins to poll, and when it does so no more.
    """
    options = options or WorkerOptions()
    log = structlog.get_logger(__name__).bind(address=address, task_queue=task_queue)
    pause = FIRST_PAUSE_SECONDS
    while not stop.is_set():
        polled = False
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await connect(
                    address=address,
                    namespace=namespace,
                    security=security or Security(),
                    converter=converter,
                    lazy=False,
                )
            if sweep is not None:
                await sweep.schedule.ensure(client, task_queue)
            worker = _worker(client, task_queue, activities, sweep, options)
            polled = await _serve(worker, stop, log, options.grace_seconds + WATCHDOG_SECONDS, on_polling)
        except (RuntimeError, RPCError, OSError) as trouble:
            log.warning("temporal.unreachable", error=explain(trouble))
        pause = FIRST_PAUSE_SECONDS if polled else min(2 * pause, LONGEST_PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause * random.uniform(0.5, 1.5)):
                await stop.wait()


def _worker(
    client: Client, task_queue: str, activities: FlushActivities, sweep: Sweep | None, options: WorkerOptions
) -> Worker:
    polls = PollerBehaviorSimpleMaximum(maximum=options.polls)
    return Worker(
        client,
        workflow_runner=workflow_runner(),
        task_queue=task_queue,
        workflows=[MemoryFlush, *([MemorySweep] if sweep else [])],
        activities=[*activities.all(), *([sweep.activities.sweep] if sweep else [])],
        max_concurrent_activities=options.max_steps,
        max_concurrent_workflow_tasks=options.workflow_tasks,
        max_cached_workflows=options.cached_runs,
        workflow_task_poller_behavior=polls,
        activity_task_poller_behavior=polls,
        deployment_config=options.versioning(),
        # Temporal's default lets a heartbeat wait for 80 % of its timeout, which leaves two seconds for any stall.
        max_heartbeat_throttle_interval=HEARTBEAT_TIMEOUT / 4,
        default_heartbeat_throttle_interval=HEARTBEAT_TIMEOUT / 4,
        graceful_shutdown_timeout=timedelta(seconds=options.grace_seconds),
    )


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return what runs the workflows: Temporal's sandbox.

    Its thread may be the one in which the garbage collector finds a pool of redis-py, whose end imports a module; the
    sandbox would load redis-py anew for it, and warn.
    """
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("redis"))


async def _serve(
    worker: Worker,
    stop: asyncio.Event,
    log: FilteringBoundLogger,
    stop_seconds: float,
    on_polling: Callable[[bool], None],
) -> bool:
    """Run one worker until it dies or `stop` is set. Returns whether it came to poll at all."""
    running = asyncio.create_task(worker.run(), name="temporal-worker")
    stopping = asyncio.create_task(stop.wait(), name="temporal-worker-stop")
    polled = False
    try:
        while not (polled or running.done() or stop.is_set()):
            await asyncio.wait({running, stopping}, timeout=READY_CHECK_SECONDS)
            polled = worker.is_running
        if polled:
            log.info(READY)
            on_polling(True)
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        on_polling(False)
        await _finish(worker, running, log, stop_seconds)
    if running.done() and not running.cancelled() and (error := running.exception()):
        log.warning("temporal.worker_failed", error=explain(error))
    return polled


async def _finish(worker: Worker, running: asyncio.Task[None], log: FilteringBoundLogger, stop_seconds: float) -> None:
    """Stop the worker. One that has not come to poll has nothing to finish."""
    if not worker.is_running:
        running.cancel()
    shutting = asyncio.create_task(worker.shutdown(), name="temporal-worker-shutdown")
    await asyncio.wait({running}, timeout=stop_seconds)
    shutting.cancel()
    if not running.done():
        running.cancel()
        log.error("temporal.worker_left_behind", seconds=stop_seconds)
