"""The activities outside of Temporal: signs of life, the lease, and errors that say nothing they must not."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from sidecar.errors import (
    FlushLocked,
    FlushRefused,
    RedisRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryRejected,
    Unavailable,
    Uncertain,
    UnknownMemory,
)
from sidecar.flush.ticket import Begun
from sidecar.memory.ports import FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.lease import LEASE_MS
from sidecar.temporal.activities import BEATS_PER_TIMEOUT, FlushActivities
from sidecar.temporal.failures import (
    LEAST_LOCK_PAUSE_MS,
    MOST_LOCK_PAUSE_MS,
    MOST_REJECTED_SUMMARIES,
    MOST_SUMMARISER_PAUSE_S,
)
from sidecar.temporal.messages import BeginRequest, FailRequest, FallBackRequest, FlushRequest, StepTicket
from sidecar.temporal.workflow import STORE_RETRY
from tests.flush.memories import counted
from tests.support.waiting import eventually
from tests.temporal.scripted import ScriptedSteps, done, ticket

SECRET = "the customer's number is 4929"
HEARTBEAT_S = 0.2
STEP = StepTicket(project="default", **asdict(ticket("r")))
REQUEST = FlushRequest("chat", "i")

T = TypeVar("T")


class Environment:
    """Runs activities as a worker does, with a short heartbeat timeout, and counts the signs of life."""

    def __init__(self) -> None:
        self._temporal = ActivityEnvironment()
        self._temporal.info = replace(self._temporal.info, heartbeat_timeout=timedelta(seconds=HEARTBEAT_S))
        self._temporal.on_heartbeat = self._beat
        self.beats = 0
        self.details: tuple[Any, ...] = ()

    def _beat(self, *details: Any) -> None:
        self.details = details
        self.beats += 1

    async def run(
        self, activity: Callable[..., Awaitable[T]], argument: Any, *, attempt: int = 1, details: Sequence[Any] = ()
    ) -> T:
        """Run one activity; `details` are those of the last sign of life of the try before."""
        self._temporal.info = replace(self._temporal.info, attempt=attempt, heartbeat_details=details)
        return await self._temporal.run(activity, argument)


@pytest.fixture
def environment() -> Environment:
    """A worker of the test's own."""
    return Environment()


def activities(steps: ScriptedSteps, metrics: Metrics | None = None) -> FlushActivities:
    """Bind the steps."""
    return FlushActivities(steps=steps, metrics=metrics or Metrics(), project="default")


def never() -> Awaitable[None]:
    """A step that does not end by itself."""
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("error", "kind", "final", "text"),
    [
        (FlushRefused("stale-fence"), "FlushRefused", True, "the flush was refused: stale-fence"),
        (UnknownMemory("chat:i", ["other"]), "UnknownMemory", True, "must have the same definitions"),
        (Unavailable("connection refused"), "Unavailable", False, "Redis cannot be reached (connection refused)"),
        (Uncertain("timeout"), "Uncertain", False, "Redis went away after a command was sent (timeout)"),
        (RedisRefused(f"ERR unknown command 'X', with args: {SECRET}"), "RedisRefused", False, "Redis answered ERR"),
        (ValueError(SECRET), "ValueError", False, "see the log of the worker"),
        (FlushRefused("no-summary"), "NoSummary", True, "the flush was refused: no-summary"),
        (SummariserUnavailable(), "SummariserUnavailable", False, "the summariser is unavailable: it did not answer"),
        (SummariserRefused("a bad key"), "SummariserRefused", True, "the summariser refused: a bad key"),
        (SummaryRejected("empty"), "SummaryRejected", False, "the summary was rejected: empty"),
        (FlushLocked(700), "FlushLocked", False, "somebody holds the lock of the memory for 700 ms more"),
    ],
)
async def test_errors(environment: Environment, error: Exception, kind: str, final: bool, text: str) -> None:
    """Each error becomes a failure with a type and a reason, tried again or not, and never shows content."""
    error.__cause__ = RuntimeError(SECRET)
    with pytest.raises(ApplicationError) as failure:
        await environment.run(activities(ScriptedSteps(commit=[error])).commit, STEP)
    assert (failure.value.type, failure.value.non_retryable) == (kind, final)
    assert text in failure.value.message
    assert SECRET not in "".join(traceback.format_exception(failure.value))
    travelling = Failure()
    await DataConverter.default.encode_failure(failure.value, travelling)
    assert not travelling.HasField("cause")
    assert SECRET.encode() not in travelling.SerializeToString()


async def test_signs_of_life(environment: Environment) -> None:
    """A long step gives signs of life, more than one in each heartbeat timeout, and renews the lease as often."""
    steps = ScriptedSteps(plan=[never])
    running = asyncio.create_task(environment.run(activities(steps).plan, STEP))
    timeouts = 4
    await eventually(lambda: environment.beats > timeouts, limit_s=timeouts * HEARTBEAT_S)
    assert abs(steps.calls.count("renew") - environment.beats) <= 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_short_step_is_one_call(environment: Environment) -> None:
    """A step that is over before a sign of life is due gives none: each would be one more call of Temporal."""
    steps = ScriptedSteps()
    await environment.run(activities(steps).summarise, STEP)
    assert environment.beats == 0
    assert steps.calls == ["summarise"]


async def test_a_lost_lease_ends_the_step(environment: Environment) -> None:
    """When another flush has taken over, a long step is cancelled at once instead of working for nothing."""
    cancelled = asyncio.Event()

    async def long_step() -> None:
        try:
            await never()
        finally:
            cancelled.set()

    steps = ScriptedSteps(summarise=[long_step], renew=[None, FlushRefused("stale-fence")])
    with pytest.raises(ApplicationError) as failure:
        await environment.run(activities(steps).summarise, STEP)
    assert failure.value.type == "FlushRefused"
    assert cancelled.is_set()


async def test_a_missed_renewal_is_no_end(environment: Environment) -> None:
    """If Redis misses a renewal, the step goes on: the lease outlasts several."""
    renewed = asyncio.Event()

    async def third() -> None:
        renewed.set()

    async def until_renewed() -> int:
        await renewed.wait()
        return 7

    away = [Unavailable("refused"), RedisRefused("LOADING Redis is loading")]
    steps = ScriptedSteps(summarise=[until_renewed], renew=[*away, third])
    assert await environment.run(activities(steps).summarise, STEP) == 7


async def test_a_commit_does_not_renew(environment: Environment) -> None:
    """A commit ends the lease, so it must not be renewed beside it: the renewal would find it lost."""

    async def slow() -> Any:
        await eventually(lambda: environment.beats >= BEATS_PER_TIMEOUT)
        return done("r")

    steps = ScriptedSteps(commit=[slow])
    assert (await environment.run(activities(steps).commit, STEP)).status == "done"
    assert steps.calls == ["commit"]


@pytest.mark.parametrize(
    ("left_ms", "attempt", "pause_ms"),
    [
        (1, 1, LEAST_LOCK_PAUSE_MS),
        (1, 3, 4 * LEAST_LOCK_PAUSE_MS),
        (1_500, 1, 1_500),
        (1_500, 4, 8 * LEAST_LOCK_PAUSE_MS),
        (600_000, 1, MOST_LOCK_PAUSE_MS),
        (1, 12, MOST_LOCK_PAUSE_MS),
    ],
)
async def test_a_locked_memory_says_when_to_come_back(
    environment: Environment, left_ms: int, attempt: int, pause_ms: int
) -> None:
    """A commit is tried again when the lease may be over, ever more rarely, and at the latest after five seconds."""
    steps = ScriptedSteps(commit=[FlushLocked(left_ms)])
    with pytest.raises(ApplicationError) as failure:
        await environment.run(activities(steps).commit, STEP, attempt=attempt)
    assert failure.value.next_retry_delay == timedelta(milliseconds=pause_ms)
    assert failure.value.category == ApplicationErrorCategory.BENIGN


async def test_the_tries_of_a_locked_commit_last() -> None:
    """However short the leases are that keep a commit out, its tries outlast half a minute of them."""
    assert STORE_RETRY.maximum_attempts == 12
    pauses = [min(LEAST_LOCK_PAUSE_MS * 2**tried, MOST_LOCK_PAUSE_MS) for tried in range(11)]
    assert 36_000 < sum(pauses) < 37_000


async def test_a_locked_commit_keeps_its_right(environment: Environment) -> None:
    """The lease of the flush is renewed before the pause; one that was lost meanwhile ends the flush."""
    steps = ScriptedSteps(commit=[FlushLocked(70)] * 2, renew=[None, FlushRefused("stale-fence")])
    kinds = []
    for _ in range(2):
        with pytest.raises(ApplicationError) as failure:
            await environment.run(activities(steps).commit, STEP)
        kinds.append(failure.value.type)
    assert steps.calls == ["commit", "renew"] * 2
    assert kinds == ["FlushLocked", "FlushRefused"]


@pytest.mark.parametrize(
    ("asked_s", "pause_s"), [(None, None), (0.0, 0.0), (-3.0, 0.0), (7.5, 7.5), (3_600.0, MOST_SUMMARISER_PAUSE_S)]
)
async def test_a_summariser_that_asks_for_patience(
    environment: Environment, asked_s: float | None, pause_s: float | None
) -> None:
    """It gets the pause that it asks for, up to a limit, and the lease is renewed so that it outlasts the pause."""
    steps = ScriptedSteps(summarise=[SummariserUnavailable(asked_s)])
    with pytest.raises(ApplicationError) as failure:
        await environment.run(activities(steps).summarise, STEP)
    assert failure.value.next_retry_delay == (None if pause_s is None else timedelta(seconds=pause_s))
    assert steps.calls == ["summarise", "renew"]
    assert MOST_SUMMARISER_PAUSE_S * 1_000 < LEASE_MS


async def test_a_summary_that_is_of_no_use_again_and_again(environment: Environment) -> None:
    """A model that returns no summary is asked a few times; then its last answer is final."""
    steps = ScriptedSteps(summarise=[SummaryRejected("empty")] * MOST_REJECTED_SUMMARIES)
    final = []
    for attempt in range(1, MOST_REJECTED_SUMMARIES + 1):
        with pytest.raises(ApplicationError) as failure:
            await environment.run(activities(steps).summarise, STEP, attempt=attempt)
        final.append(failure.value.non_retryable)
    assert final == [False] * (MOST_REJECTED_SUMMARIES - 1) + [True]


async def test_signs_of_life_say_how_far_it_is(environment: Environment) -> None:
    """A sign of life holds the number of pieces that are done, and nothing else; the next try is told of it."""

    async def slow() -> int:
        await eventually(lambda: environment.beats > 0)
        return 7

    summarise = activities(ScriptedSteps(summarise=[slow, slow])).summarise
    await environment.run(summarise, STEP)
    assert environment.details == (1,)
    environment.beats = 0
    with capture_logs() as logs:
        await environment.run(summarise, STEP, attempt=2, details=[5])
    assert [(entry["attempt"], entry["reached"]) for entry in logs] == [(2, 5)]
    assert environment.details == (5,)


async def test_a_fallback_is_a_step_like_others(environment: Environment) -> None:
    """A fallback is told why, stays alive, and keeps the lease; a foreign one is refused before it begins."""

    async def slow() -> int:
        await eventually(lambda: environment.beats > 0)
        return 9

    steps = ScriptedSteps(fall_back=[slow])
    request = FallBackRequest(STEP, "summarise_flush: SummariserUnavailable: it did not answer")
    assert await environment.run(activities(steps).fall_back, request) == 9
    assert steps.reasons == [request.reason]
    assert steps.calls[:2] == ["fall_back", "renew"]
    with pytest.raises(ApplicationError, match="give each project a task queue"):
        await environment.run(
            activities(steps).fall_back, FallBackRequest(replace(STEP, project="other"), request.reason)
        )
    assert steps.reasons == [request.reason]


async def test_begin_passes_the_order_on(environment: Environment) -> None:
    """Strategy and target of an order arrive at the steps; a request of an earlier version has none."""
    steps = ScriptedSteps()
    begin = activities(steps).begin
    await environment.run(begin, BeginRequest(FlushRequest("chat", "i", strategy="fifo", target_tokens=300), "r"))
    await environment.run(begin, BeginRequest(REQUEST, "r"))
    assert steps.ways == [("fifo", 300), ("", None)]


@pytest.mark.parametrize("name", ["plan", "summarise", "commit"])
async def test_a_foreign_ticket(environment: Environment, name: str) -> None:
    """Every step refuses a ticket of another project, for good, before it touches anything."""
    steps = ScriptedSteps()
    with pytest.raises(ApplicationError, match="give each project a task queue") as failure:
        await environment.run(getattr(activities(steps), name), replace(STEP, project="other"))
    assert failure.value.non_retryable
    assert steps.calls == []


async def test_begin_has_three_answers(environment: Environment) -> None:
    """A begin gives a ticket, the outcome of a flush that need not begin, or the run that holds the memory."""
    idle = FlushOutcome("not-due", "r", messages=3)
    steps = ScriptedSteps(begin=[Begun("joined", "x"), Begun("not-due", "r", outcome=idle)])
    begin = activities(steps).begin
    order = BeginRequest(REQUEST, "r")
    answers = [await environment.run(begin, order) for _ in range(3)]
    assert answers[0].holder == "x"
    assert answers[1].result is not None
    assert asdict(answers[1].result) == asdict(idle)
    assert answers[2].ticket == STEP


async def test_failures_are_counted_once(environment: Environment) -> None:
    """A flush that failed before it began is counted here; the steps record and count every other one."""
    metrics, steps = Metrics(), ScriptedSteps()
    fail = activities(steps, metrics).fail
    await environment.run(fail, FailRequest(REQUEST, "no ticket", 1.0))
    assert steps.errors == []
    assert counted(metrics, "flush_runs_total", strategy="unknown", outcome="failed") == 1
    await environment.run(fail, FailRequest(REQUEST, "with ticket", 1.0, STEP))
    assert steps.errors == ["with ticket"]
    assert counted(metrics, "flush_runs_total", strategy="unknown", outcome="failed") == 1
