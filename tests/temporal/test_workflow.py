"""The workflow on a real server, with scripted steps: the order of the steps, and what stops or repeats them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError, TimeoutType
from temporalio.testing import WorkflowEnvironment

from sidecar.errors import (
    FlushLocked,
    FlushRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryRejected,
    Unavailable,
    UnknownMemory,
)
from sidecar.flush.ticket import Begun, PlanFacts
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.temporal.failures import MOST_REJECTED_SUMMARIES
from sidecar.temporal.messages import WORKFLOW, FlushRequest, FlushResult
from sidecar.temporal.starter import TemporalEngine, TemporalHandle
from sidecar.temporal.workflow import (
    BUSY,
    JOINED_WAITS,
    MAX_REASON_CHARS,
    MAX_RESTARTS,
    MAX_ROUNDS,
    STORE_RETRY,
    SUMMARY_RETRY,
    describe,
)
from tests.flush.memories import counted
from tests.support.requirements import require_program
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker
from tests.temporal.scripted import ScriptedSteps, done

FLUSH = ["begin", "plan", "summarise", "commit"]
JOINED = Begun("joined", "somebody-else")


@pytest.fixture
async def fast_clock() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal's test server, in which time passes at once while a result is awaited and no step runs."""
    program = str(require_program("temporal-test-server"))
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=program) as environment:
        yield environment


async def run(engine: TemporalEngine, instance: str, *, force: bool = False) -> tuple[FlushOutcome, TemporalHandle]:
    """Start a flush and wait for its outcome."""
    handle = await engine.start(FlushOrder("chat", instance, force))
    return await handle.outcome(), handle


async def run_fast(environment: WorkflowEnvironment, task_queue: str, instance: str) -> FlushResult:
    """Run a flush on the server with the fast clock."""
    result: FlushResult = await environment.client.execute_workflow(
        WORKFLOW, FlushRequest("chat", instance), id=instance, task_queue=task_queue, result_type=FlushResult
    )
    return result


async def test_a_flush(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A flush takes its four steps in order, under the run's id, and returns the outcome of the commit."""
    steps = ScriptedSteps()
    start_worker(steps)
    outcome, handle = await run(engine, instance)
    assert steps.calls == FLUSH
    assert steps.orders == [(handle.run_id, False)]
    assert outcome == done(handle.run_id)


async def test_force_is_passed_on(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """The force of the order reaches the begin."""
    steps = ScriptedSteps()
    start_worker(steps)
    await run(engine, instance, force=True)
    assert [force for _, force in steps.orders] == [True]


async def test_nothing_to_do(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A memory that is not due is left alone after the begin."""
    idle = FlushOutcome("not-due", "r", messages=3, tokens=30)
    steps = ScriptedSteps(begin=[Begun("not-due", "r", outcome=idle)])
    start_worker(steps)
    outcome, handle = await run(engine, instance)
    assert steps.calls == ["begin"]
    assert outcome == replace(idle, run_id=handle.run_id)


async def test_no_summary_where_none_is_planned(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """A plan without a summary goes straight to the commit."""
    steps = ScriptedSteps(plan=[PlanFacts(5, 50, summarise=False, nothing=False, reached=True)])
    start_worker(steps)
    await run(engine, instance)
    assert steps.calls == ["begin", "plan", "commit"]


async def test_a_second_round(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """If the memory went over its threshold meanwhile, the run flushes again: not forced, with an id of its own."""
    steps = ScriptedSteps(commit=[done(again=True)])
    start_worker(steps)
    outcome, handle = await run(engine, instance, force=True)
    assert steps.calls == FLUSH * 2
    assert steps.orders == [(handle.run_id, True), (f"{handle.run_id}.2", False)]
    expected = replace(done(handle.run_id), removed=10, tokens_freed=100, duration_ms=6)
    assert outcome == expected


async def test_a_second_round_that_is_not_needed(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """If the second begin finds nothing to do, the outcome is that of the first round."""
    idle = Begun("not-due", "r", outcome=FlushOutcome("not-due"))
    begun = await ScriptedSteps().begin("chat", instance, run_id="r", force=False)
    start_worker(ScriptedSteps(begin=[begun, idle], commit=[done(again=True)]))
    outcome, handle = await run(engine, instance)
    assert outcome == done(handle.run_id)


async def test_rounds_are_bounded(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A memory that grows faster than it is flushed does not keep one run busy for ever; the outcome says so."""
    steps = ScriptedSteps(commit=[done(again=True)] * (MAX_ROUNDS + 1))
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert steps.calls == FLUSH * MAX_ROUNDS
    assert outcome.again
    assert outcome.removed == 5 * MAX_ROUNDS


async def test_a_later_round_that_fails(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """What earlier rounds have committed is reported as done, with the reason why the next one broke off."""
    refused = FlushRefused("stale-fence")
    steps = ScriptedSteps(commit=[done(again=True), *[refused] * (MAX_RESTARTS + 1)])
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert (outcome.status, outcome.removed, outcome.again) == ("done", 5, True)
    assert "stale-fence" in outcome.error


async def test_a_committed_round_is_not_recorded_as_failed(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """If a later round does not even begin, nothing is recorded against the flush that was committed before."""
    begun = await ScriptedSteps().begin("chat", instance, run_id="r", force=False)
    steps = ScriptedSteps(begin=[begun, UnknownMemory("chat:i", [])], commit=[done(again=True)])
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert (outcome.status, outcome.removed) == ("done", 5)
    assert "UnknownMemory" in outcome.error
    assert steps.errors == []


async def test_waiting_for_another_flush(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """While another run holds the memory, the begin is repeated with the same run id."""
    steps = ScriptedSteps(begin=[JOINED])
    start_worker(steps)
    outcome, handle = await run(engine, instance)
    assert outcome.status == "done"
    assert steps.orders == [(handle.run_id, False)] * 2


async def test_waiting_in_vain(
    fast_clock: WorkflowEnvironment, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """A run that never gets the memory fails, and its reason names the holder."""
    steps = ScriptedSteps(begin=[JOINED] * (len(JOINED_WAITS) + 1))
    start_worker(steps, address=fast_clock.client.service_client.config.target_host)
    with pytest.raises(WorkflowFailureError) as failure:
        await run_fast(fast_clock, task_queue, instance)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == BUSY
    assert "somebody-else" in failure.value.cause.message
    assert steps.calls == ["begin"] * (len(JOINED_WAITS) + 1)
    assert counted(start_worker.metrics, "flush_runs_total", strategy="unknown", outcome="failed") == 1


async def test_a_refused_step_begins_anew(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A refusal changes nothing: the lease is dropped and a new flush begins, with an id of its own."""
    steps = ScriptedSteps(commit=[FlushRefused("lost-plan")])
    start_worker(steps)
    outcome, handle = await run(engine, instance, force=True)
    assert steps.calls == [*FLUSH, "fail", *FLUSH]
    assert steps.orders == [(handle.run_id, True), (f"{handle.run_id}.2", True)]
    assert outcome == done(handle.run_id)


async def test_refused_too_often(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A run that is refused again and again fails with the reason, which is recorded."""
    steps = ScriptedSteps(plan=[FlushRefused("stale-epoch")] * (MAX_RESTARTS + 1))
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert outcome.status == "failed"
    assert "plan_flush: FlushRefused: the flush was refused: stale-epoch" in outcome.error
    assert steps.calls == ["begin", "plan", "fail"] * (MAX_RESTARTS + 1)
    assert steps.errors[-1] == outcome.error


async def test_a_step_is_tried_again(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """Trouble with Redis is ridden out; only the step that met it is repeated."""
    steps = ScriptedSteps(plan=[Unavailable("refused")])
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert outcome.status == "done"
    assert steps.calls == ["begin", "plan", "plan", "summarise", "commit"]


async def test_the_tries_are_bounded(
    fast_clock: WorkflowEnvironment, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """If Redis stays away, the run fails with the reason, even though that cannot be recorded."""
    attempts = STORE_RETRY.maximum_attempts
    away = [Unavailable("connection refused")] * attempts
    steps = ScriptedSteps(commit=away, fail=away)
    start_worker(steps, address=fast_clock.client.service_client.config.target_host)
    with pytest.raises(WorkflowFailureError) as failure:
        await run_fast(fast_clock, task_queue, instance)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "Unavailable"
    assert failure.value.cause.message.startswith("commit_flush: Unavailable: Redis cannot be reached")
    assert steps.calls == ["begin", "plan", "summarise", *["commit"] * attempts, *["fail"] * 3]


async def test_a_summariser_that_refuses(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A refusal is not asked again: the flush falls back at once, is told why, and commits."""
    steps = ScriptedSteps(summarise=[SummariserRefused("a bad key")])
    start_worker(steps)
    outcome, handle = await run(engine, instance)
    assert outcome == done(handle.run_id)
    assert steps.calls == ["begin", "plan", "summarise", "fall_back", "commit"]
    (reason,) = steps.reasons
    assert reason.startswith("summarise_flush: SummariserRefused: the summariser refused: a bad key")


@pytest.mark.parametrize(
    ("trouble", "tries"),
    [
        (SummariserUnavailable(), SUMMARY_RETRY.maximum_attempts),
        (SummariserUnavailable(3_600), SUMMARY_RETRY.maximum_attempts),
        (SummaryRejected("empty"), MOST_REJECTED_SUMMARIES),
        (ValueError("a bug"), SUMMARY_RETRY.maximum_attempts),
    ],
)
async def test_a_summary_that_does_not_come_about(
    fast_clock: WorkflowEnvironment,
    start_worker: StartWorker,
    task_queue: str,
    instance: str,
    trouble: Exception,
    tries: int,
) -> None:
    """A summary is tried as often as it may help; then the flush falls back."""
    steps = ScriptedSteps(summarise=[trouble] * tries)
    start_worker(steps, address=fast_clock.client.service_client.config.target_host)
    assert (await run_fast(fast_clock, task_queue, instance)).status == "done"
    kept = ["summarise", "renew"] if isinstance(trouble, SummariserUnavailable) else ["summarise"]
    assert steps.calls == ["begin", "plan", *kept * tries, "fall_back", "commit"]
    assert len(steps.reasons) == 1


@pytest.mark.parametrize("trouble", [FlushRefused("stale-fence"), UnknownMemory("chat:i", ["other"])])
async def test_no_fallback_where_the_summariser_is_not_to_blame(
    engine: TemporalEngine, start_worker: StartWorker, instance: str, trouble: Exception
) -> None:
    """A memory that moved on, or that is not ours, is no reason to do without a summary."""
    steps = ScriptedSteps(summarise=[trouble])
    start_worker(steps)
    await run(engine, instance)
    assert "fall_back" not in steps.calls


async def test_no_fallback_while_redis_is_away(
    fast_clock: WorkflowEnvironment, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """When Redis kept the summary from being staged, the run fails; the next one may have a good summary."""
    steps = ScriptedSteps(summarise=[Unavailable("refused")] * (SUMMARY_RETRY.maximum_attempts or 0))
    start_worker(steps, address=fast_clock.client.service_client.config.target_host)
    with pytest.raises(WorkflowFailureError):
        await run_fast(fast_clock, task_queue, instance)
    assert "fall_back" not in steps.calls


async def test_a_fallback_that_keeps_the_messages(
    engine: TemporalEngine, start_worker: StartWorker, instance: str
) -> None:
    """Where a definition rather keeps its messages, the run fails with that reason, and does not begin anew."""
    steps = ScriptedSteps(summarise=[SummariserRefused("a bad key")], fall_back=[FlushRefused("no-summary")])
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert outcome.status == "failed"
    assert "fall_back_flush: NoSummary: the flush was refused: no-summary; the memory is unchanged" in outcome.error
    assert steps.calls == ["begin", "plan", "summarise", "fall_back", "fail"]
    assert steps.errors == [outcome.error]


async def test_a_fallback_that_comes_too_late(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """When the memory moves on under a fallback, the run begins anew, and asks the summariser again."""
    steps = ScriptedSteps(summarise=[SummariserRefused("a bad key")], fall_back=[FlushRefused("stale-fence")])
    start_worker(steps)
    outcome, _ = await run(engine, instance)
    assert outcome.status == "done"
    assert steps.calls == ["begin", "plan", "summarise", "fall_back", "fail", *FLUSH]


async def test_a_locked_commit_is_tried_again(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """While an agent holds the memory's lock only the commit is repeated, in the same run; nothing is made anew."""
    steps = ScriptedSteps(commit=[FlushLocked(20)] * 2)
    start_worker(steps)
    outcome, handle = await run(engine, instance)
    assert outcome == done(handle.run_id)
    assert steps.calls == [*FLUSH, "renew", "commit", "renew", "commit"]


async def test_a_lock_that_does_not_end(
    fast_clock: WorkflowEnvironment, start_worker: StartWorker, task_queue: str, instance: str
) -> None:
    """A memory that stays locked fails the run with that reason, which is recorded: the mark brings the next one."""
    attempts = STORE_RETRY.maximum_attempts
    steps = ScriptedSteps(commit=[FlushLocked(600_000)] * attempts)
    start_worker(steps, address=fast_clock.client.service_client.config.target_host)
    with pytest.raises(WorkflowFailureError) as failure:
        await run_fast(fast_clock, task_queue, instance)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "FlushLocked"
    assert failure.value.cause.message.startswith("commit_flush: FlushLocked: somebody holds the lock of the memory")
    assert steps.calls == ["begin", "plan", "summarise", *["commit", "renew"] * attempts, "fail"]
    assert steps.errors == [failure.value.cause.message]


async def test_strategy_and_target(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """An order's strategy holds for all rounds of its run; its target, like its force, for the first one."""
    steps = ScriptedSteps(commit=[done(again=True)])
    start_worker(steps)
    await (await engine.start(FlushOrder("chat", instance, True, "fifo", 300))).outcome()
    assert steps.ways == [("fifo", 300), ("fifo", None)]
    assert [force for _, force in steps.orders] == [True, False]


async def test_cancelled_in_the_ui(
    engine: TemporalEngine, start_worker: StartWorker, client: Client, instance: str
) -> None:
    """A cancelled run gives the lease back, and is a failed flush for whoever waits."""
    steps = ScriptedSteps(begin=[JOINED, JOINED, JOINED])
    start_worker(steps)
    handle = await engine.start(FlushOrder("chat", instance))
    await eventually(lambda: len(steps.calls) > 0)
    await client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id).cancel()
    outcome = await handle.outcome()
    assert (outcome.status, outcome.error) == ("failed", "the run was cancelled: Workflow cancelled")
    assert counted(start_worker.metrics, "flush_runs_total", strategy="unknown", outcome="failed") == 1


async def test_a_foreign_project(engine: TemporalEngine, start_worker: StartWorker, instance: str) -> None:
    """A worker of another project refuses, instead of flushing the memory that has the same name there."""
    steps = ScriptedSteps()
    start_worker(steps, project="other")
    outcome, _ = await run(engine, instance)
    assert outcome.status == "failed"
    assert "this worker serves project 'other', not 'default'" in outcome.error
    assert steps.calls == []


async def test_a_failed_run_is_red(
    engine: TemporalEngine, start_worker: StartWorker, client: Client, instance: str
) -> None:
    """In Temporal's UI a flush that gave up has the status Failed, with type and reason."""
    start_worker(ScriptedSteps(commit=[FlushRefused("stale-fence")] * (MAX_RESTARTS + 1)))
    _, handle = await run(engine, instance)
    run_ = client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id)
    description = await run_.describe()
    assert description.status is not None
    assert description.status.name == "FAILED"
    with pytest.raises(WorkflowFailureError) as failure:
        await run_.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert (failure.value.cause.type, failure.value.cause.non_retryable) == ("FlushRefused", True)


def test_the_sandbox_imports_almost_nothing() -> None:
    """Importing the workflow loads no Redis, no tokenizer, no metrics, and none of the flush itself."""
    heavy = {"redis", "tiktoken", "prometheus_client", "structlog", "msgspec", "sidecar.flush"}
    script = f"import sys, sidecar.temporal.workflow; print(sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def activity_error(cause: BaseException) -> ActivityError:
    """Return what the workflow gets when the commit fails with `cause`."""
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="commit_flush",
        activity_id="1",
        retry_state=None,
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("trouble", "kind", "reason"),
    [
        (
            activity_error(ApplicationError("Redis answered OOM", type="RedisRefused")),
            "RedisRefused",
            "commit_flush: RedisRefused: Redis answered OOM",
        ),
        (
            activity_error(TimeoutError("", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[])),
            "Timeout",
            "commit_flush: the worker did not answer in time (heartbeat)",
        ),
        (
            activity_error(TimeoutError("", type=None, last_heartbeat_details=[])),
            "Timeout",
            "commit_flush: the worker did not answer in time (unknown)",
        ),
        (activity_error(CancelledError("")), "Cancelled", "cancelled"),
        (ApplicationError("run x holds the memory", type=BUSY), BUSY, f"{BUSY}: run x holds the memory"),
    ],
)
def test_reasons(trouble: BaseException, kind: str, reason: str) -> None:
    """Every way to give up has a type and a reason of one line."""
    assert describe(trouble) == (kind, reason)


def test_reasons_are_short() -> None:
    """A reason is cut, whatever the error says."""
    _, reason = describe(activity_error(ApplicationError("x" * 1_000, type="X")))
    assert len(reason) == MAX_REASON_CHARS
