"""The activities: the steps of `sidecar.flush.steps`, one each, as Temporal runs them. The order is `workflow`'s.

Around each step: a sign of life for Temporal and, where the step takes long, for the lease on Redis; and the
translation of `failures`, so that nothing which a step raises shows content.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from sidecar.errors import FlushLocked, SummariserUnavailable, UpstreamError
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket
from sidecar.memory.label import label
from sidecar.memory.ports import FlushOutcome
from sidecar.memory.tracing import in_trace
from sidecar.metrics import Metrics
from sidecar.temporal.failures import translated
from sidecar.temporal.messages import (
    BEGIN,
    COMMIT,
    FAIL,
    FALL_BACK,
    PLAN,
    SUMMARISE,
    WRONG_PROJECT,
    BeginRequest,
    BeginResult,
    FailRequest,
    FallBackRequest,
    FlushResult,
    PlanResult,
    StepTicket,
)

BEATS_PER_TIMEOUT = 4
"""Signs of life in one heartbeat timeout: three may be lost or late before another worker takes the step."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class FlushActivities:
    """The steps bound to one Redis. Idempotent, because every step is: Temporal may run any of them twice."""

    def __init__(self, *, steps: FlushSteps, metrics: Metrics, project: str) -> None:
        """Bind the steps.

        Args:
            steps: over the Redis and the definitions that this worker serves.
            metrics: counts the flushes that fail before they have begun; the steps count all others.
            project: the only one whose flushes are run; those of others fail, instead of flushing a namesake.
        """
        self._steps = steps
        self._metrics = metrics
        self._project = project

    def all(self) -> list[Callable[..., Any]]:
        """Return what a worker registers."""
        return [self.begin, self.plan, self.summarise, self.fall_back, self.commit, self.fail]

    @activity.defn(name=BEGIN)
    async def begin(self, order: BeginRequest) -> BeginResult:
        """Take the lease and the snapshot."""
        request = order.request
        self._check(request.project)
        begun = await _alive(
            self._steps.begin(
                request.definition,
                request.instance,
                run_id=order.run_id,
                force=request.force,
                strategy=request.strategy,
                target_tokens=request.target_tokens,
                trace=request.trace,
            )
        )
        if begun.status == "joined":
            return BeginResult(holder=begun.run_id)
        if begun.ticket is not None:
            return BeginResult(ticket=StepTicket(project=self._project, **asdict(begun.ticket)))
        return BeginResult(result=FlushResult(**asdict(begun.outcome)) if begun.outcome else None)

    @activity.defn(name=PLAN)
    async def plan(self, step: StepTicket) -> PlanResult:
        """Choose what to remove; the choice is staged on Redis."""
        ticket = self._opened(step)
        facts = await _alive(self._steps.plan(ticket), guard=self._renewing(ticket))
        return PlanResult(facts.removed, facts.freed_tokens, facts.summarise)

    @activity.defn(name=SUMMARISE)
    async def summarise(self, step: StepTicket) -> int:
        """Summarise what the plan removes; the text is staged on Redis, its tokens are returned."""
        ticket = self._opened(step)
        pulse = _Pulse()
        if (attempt := activity.info().attempt) > 1:
            log.info("summary.tried_again", run_id=ticket.run_id, attempt=attempt, reached=pulse.reached)
        return await _alive(self._summarise(ticket, pulse), pulse, self._renewing(ticket))

    @activity.defn(name=FALL_BACK)
    async def fall_back(self, request: FallBackRequest) -> int:
        """Do what the definition wants where no summary could be made; the tokens of what is staged are returned."""
        ticket = self._opened(request.ticket)
        pulse = _Pulse()
        return await _alive(
            self._steps.fall_back(ticket, request.reason, pulse.progress), pulse, self._renewing(ticket)
        )

    @activity.defn(name=COMMIT)
    async def commit(self, step: StepTicket) -> FlushResult:
        """Carry out the plan. The lease is not renewed beside it: it ends inside, and the fence is what counts."""
        outcome = await _alive(self._commit(self._opened(step)))
        return FlushResult(**asdict(outcome))

    @activity.defn(name=FAIL)
    async def fail(self, failure: FailRequest) -> None:
        """Record that the flush gave up."""
        request = failure.request
        self._check(request.project)
        about = {"memory": label(request.definition, request.instance), **in_trace(request.trace)}
        # Step and kind: what follows them is of whoever failed, which may be a summariser of another's.
        log.warning("flush.failed", error=": ".join(failure.error.split(": ")[:2]), **about)
        if failure.ticket is None:
            self._metrics.run("", "failed", 0, 0, 0, failure.seconds)
        else:
            await _alive(self._steps.fail(self._opened(failure.ticket), failure.error))

    async def _summarise(self, ticket: Ticket, pulse: _Pulse) -> int:
        try:
            return await self._steps.summarise(ticket, pulse.progress)
        except SummariserUnavailable:
            await self._steps.renew(ticket)  # nobody does it in the pause
            raise

    async def _commit(self, ticket: Ticket) -> FlushOutcome:
        try:
            return await self._steps.commit(ticket)
        except FlushLocked:
            # The lease and the staged work must outlast the pause, and those that may still follow.
            await self._steps.renew(ticket)
            raise

    def _opened(self, step: StepTicket) -> Ticket:
        self._check(step.project)
        fields = asdict(step)
        del fields["project"]
        return Ticket(**fields)

    def _check(self, project: str) -> None:
        if project != self._project:
            raise ApplicationError(
                f"this worker serves project '{self._project}', not '{project}'; give each project a task queue "
                "of its own",
                type=WRONG_PROJECT,
                non_retryable=True,
            )

    async def _renewing(self, ticket: Ticket) -> None:
        """Renew the lease for ever. Ends with `FlushRefused` when it is lost: the step has become pointless."""
        while True:
            await asyncio.sleep(_beat_seconds())
            try:
                await self._steps.renew(ticket)
            except UpstreamError as trouble:
                # The step meets the same trouble and decides; the lease outlasts several missed renewals.
                log.warning("flush.lease_not_renewed", run_id=ticket.run_id, error=trouble.logged)


async def _alive(
    step: Coroutine[Any, Any, T], pulse: _Pulse | None = None, guard: Coroutine[Any, Any, None] | None = None
) -> T:
    """Run a step with signs of life. It is cancelled when `guard` raises, and that error is the step's."""
    with translated():
        work = asyncio.create_task(step)
        beside = [asyncio.create_task(coroutine) for coroutine in ((pulse or _Pulse()).run(), guard) if coroutine]
        try:
            await asyncio.wait([work, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in beside:
                if task.done() and not work.done():
                    task.result()
            return work.result()
        finally:
            work.cancel()
            for task in beside:
                task.cancel()
            await asyncio.gather(work, *beside, return_exceptions=True)


class _Pulse:
    """Signs of life for Temporal. None at once: most steps are over before one is due, and each is a call.

    With each one goes how many pieces of the step are done (pages read, parts of a summary): a number only, because
    Temporal keeps and shows it. The next try of a step that broke off finds it in `reached`; what that one need not do
    again lies on Redis.
    """

    def __init__(self) -> None:
        self._seconds = _beat_seconds()
        self._due = time.monotonic() + self._seconds
        self.reached = int(next(iter(activity.info().heartbeat_details), 0))
        self._pieces = 0

    def progress(self) -> None:
        """Count a piece of the step that is done, and give a sign of life if it is time."""
        self._pieces += 1
        self.maybe_beat()

    def maybe_beat(self) -> None:
        """Give one if it is time."""
        if time.monotonic() >= self._due:
            activity.heartbeat(max(self._pieces, self.reached))
            self._due = time.monotonic() + self._seconds

    async def run(self) -> None:
        """Give them for ever."""
        while True:
            await asyncio.sleep(self._seconds)
            self.maybe_beat()


def _beat_seconds() -> float:
    timeout = activity.info().heartbeat_timeout
    assert timeout is not None, "the workflow gives every step a heartbeat timeout"
    return timeout.total_seconds() / BEATS_PER_TIMEOUT
