"""The dispatcher before an engine that answers, refuses, hangs and is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from sidecar.errors import EngineUnavailable, RedisRefused, Unavailable, UnknownMemory
from sidecar.flush.dispatcher import Dispatcher
from sidecar.memory.ports import FlushHandle, FlushOrder, FlushOutcome
from sidecar.metrics import Metrics
from tests.flush.memories import counted
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Handle:
    """A flush that nobody runs."""

    started: bool = True
    workflow_id: str = "memflush:x"
    run_id: str = "run"

    async def outcome(self) -> FlushOutcome:
        return FlushOutcome("done")


@dataclass
class Engine:
    """The port `FlushEngine`: notes the orders, and answers as the test says."""

    name: str = "noting"
    orders: list[str] = field(default_factory=list)
    error: Exception | None = None
    joins: bool = False
    joining: str = ""
    traces: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self, order: FlushOrder) -> FlushHandle:
        assert not order.force
        self.orders.append(order.instance)
        self.traces.append(order.trace)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        return Handle(started=not self.joins and order.instance != self.joining)

    async def healthy(self) -> bool:
        return self.error is None


@dataclass
class Marks:
    """The outbox as the dispatcher asks it."""

    due: bool = True
    error: Exception | None = None
    asked: int = 0

    async def is_due(self, definition: str, instance: str) -> bool:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.due


@pytest.fixture
def engine() -> Engine:
    """An engine that starts whatever it is asked to."""
    return Engine()


@pytest.fixture
def marks() -> Marks:
    """An outbox in which everything stays due."""
    return Marks()


@contextlib.asynccontextmanager
async def running(
    engine: Engine,
    marks: Marks,
    metrics: Metrics,
    *,
    concurrency: int = 16,
    backlog: int = 1_024,
    rest_s: float = 60.0,
    pause_s: float = 0.001,
    starts_per_s: float = 1_000_000.0,
    burst: int = 1_000,
) -> AsyncIterator[Dispatcher]:
    """Run a dispatcher, and stop it cleanly."""
    dispatcher = Dispatcher(
        engine=engine,
        is_due=marks.is_due,
        metrics=metrics,
        concurrency=concurrency,
        backlog=backlog,
        rest_s=rest_s,
        first_pause_s=pause_s,
        longest_pause_s=pause_s,
        starts_per_s=starts_per_s,
        burst=burst,
    )
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        assert not task.done(), "the dispatcher died"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_starts_that_only_join_become_rare(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A mark that stays, because its flush still waits or runs, is not started again at every rest."""
    engine.joining = "waits"
    async with running(engine, marks, metrics, rest_s=0.01) as dispatcher:
        while engine.orders.count("quick") < 40:
            for instance in ("quick", "waits"):
                dispatcher.remind("chat", instance)
            await asyncio.sleep(0)
    # 40 rests of 10 ms are time for 5 that double; on the busiest machine not for half of 40.
    assert 1 < engine.orders.count("waits") < 20


def triggers(metrics: Metrics, outcome: str) -> float:
    """Return how often a trigger ended that way."""
    return counted(metrics, "flush_triggers_total", outcome=outcome)


async def test_a_notification_starts_a_flush(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """Each memory that is due is started once, and the engine is known to be up."""
    async with running(engine, marks, metrics) as dispatcher:
        assert metrics.engine_up is None
        for instance in "abc":
            dispatcher.notify("chat", instance)
        await eventually(lambda: triggers(metrics, "started") == 3)
    assert sorted(engine.orders) == ["a", "b", "c"]
    assert metrics.engine_up is True


async def test_what_was_notified_before_the_run_is_served(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """An append that comes while the process starts is not forgotten."""
    dispatcher = Dispatcher(engine=engine, is_due=marks.is_due, metrics=metrics)
    dispatcher.notify("chat", "early")
    task = asyncio.create_task(dispatcher.run())
    await eventually(lambda: engine.orders == ["early"])
    task.cancel()


async def test_a_joined_flush_is_counted_as_such(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A start that joins a running flush is no start."""
    engine.joins = True
    async with running(engine, marks, metrics) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: triggers(metrics, "coalesced") == 1)
    assert triggers(metrics, "started") == 0


async def test_one_start_per_memory(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """However often a memory is notified while it waits, it is started once; the same instance elsewhere is another."""
    engine.gate.clear()
    async with running(engine, marks, metrics, concurrency=1) as dispatcher:
        dispatcher.notify("chat", "first")
        await eventually(lambda: engine.at_once)
        for _ in range(10):
            dispatcher.notify("chat", "a")
        dispatcher.notify("summed", "a")
        engine.gate.set()
        await eventually(lambda: triggers(metrics, "started") == 3)
    assert engine.orders == ["first", "a", "a"]
    assert triggers(metrics, "coalesced") == 9


async def test_the_concurrency_is_bounded(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """No more starts are under way at once than allowed."""
    engine.gate.clear()
    async with running(engine, marks, metrics, concurrency=3) as dispatcher:
        for number in range(20):
            dispatcher.notify("chat", str(number))
        await eventually(lambda: engine.at_once == 3)
        engine.gate.set()
        await eventually(lambda: triggers(metrics, "started") == 20)
    assert engine.most_at_once == 3


async def test_the_backlog_is_bounded(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """What does not fit is dropped, counted, and taken when it is notified again."""
    engine.gate.clear()
    async with running(engine, marks, metrics, concurrency=1, backlog=5) as dispatcher:
        dispatcher.notify("chat", "in flight")
        await eventually(lambda: engine.at_once)
        for number in range(8):
            dispatcher.notify("chat", str(number))
        assert triggers(metrics, "dropped") == 3
        engine.gate.set()
        await eventually(lambda: triggers(metrics, "started") == 6)
        dispatcher.notify("chat", "7")
        await eventually(lambda: engine.orders[-1] == "7")


async def test_a_memory_rests_after_its_start(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """The mark of a flush that runs, which every sweep finds, does not start it again and again."""
    async with running(engine, marks, metrics) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: triggers(metrics, "started") == 1)
        for _ in range(100):
            dispatcher.notify("chat", "a")
            await asyncio.sleep(0)
    assert engine.orders == ["a"]
    assert triggers(metrics, "coalesced") == 100
    assert marks.asked == 0


async def test_a_notification_during_the_start_is_not_lost(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A memory notified while its flush starts is looked at again after its rest, and started if still due."""
    engine.gate.clear()
    async with running(engine, marks, metrics, rest_s=0.02) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: engine.at_once)
        dispatcher.notify("chat", "a")
        engine.gate.set()
        await eventually(lambda: engine.orders == ["a", "a"])
    assert marks.asked == 1


async def test_a_start_is_of_the_trace_that_it_is_for(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """The one told last before a start goes with it, and once: what comes later, by a reminder too, is of none."""
    engine.gate.clear()
    async with running(engine, marks, metrics, rest_s=0.02, concurrency=1) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: engine.at_once)
        dispatcher.notify("chat", "b", "one")
        dispatcher.remind("chat", "b")
        dispatcher.notify("chat", "b", "two")
        dispatcher.notify("chat", "b")
        dispatcher.notify("chat", "a", "again")
        engine.gate.set()
        await eventually(lambda: len(engine.orders) == 3)
        assert sorted(zip(engine.orders, engine.traces, strict=True)) == [("a", ""), ("a", "again"), ("b", "two")]
        dispatcher.notify("chat", "a")
        await eventually(lambda: len(engine.orders) == 4)
    assert engine.traces[3] == ""


async def test_a_notification_that_was_served_starts_nothing(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """If the mark is gone after the rest, the flush that was started has served it."""
    marks.due = False
    async with running(engine, marks, metrics, rest_s=0.02) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: triggers(metrics, "started") == 1)
        dispatcher.notify("chat", "a")
        await eventually(lambda: marks.asked == 1)
        dispatcher.notify("chat", "b")
        await eventually(lambda: engine.orders == ["a", "b"])


async def test_after_its_rest_a_memory_is_new(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A notification after the rest starts the next flush."""
    async with running(engine, marks, metrics, rest_s=0.001) as dispatcher:
        for _ in range(3):
            await eventually(lambda: dispatcher.remembered == 0)
            dispatcher.notify("chat", "a")
        await eventually(lambda: engine.orders == ["a", "a", "a"])
    assert marks.asked == 0


async def test_an_outbox_that_is_away_stops_nothing(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """If Redis cannot be asked after the rest, that memory is left to the sweeper and the others are served."""
    marks.error = Unavailable("gone")
    async with running(engine, marks, metrics, rest_s=0.01) as dispatcher:
        dispatcher.notify("chat", "a")
        await eventually(lambda: triggers(metrics, "started") == 1)
        dispatcher.notify("chat", "a")
        await eventually(lambda: marks.asked == 1)
        dispatcher.notify("chat", "a")
        await eventually(lambda: len(engine.orders) == 2)


async def test_an_engine_that_is_away(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """While the engine is away starts fail one after the other; when it is back, all that waits is started, once."""
    engine.error = EngineUnavailable("no Temporal")
    async with running(engine, marks, metrics) as dispatcher:
        dispatcher.notify("chat", "first")
        await eventually(lambda: triggers(metrics, "failed") and metrics.engine_up is False)
        for number in range(50):
            dispatcher.notify("chat", str(number))
        await eventually(lambda: triggers(metrics, "failed") >= 4)
        failed = len(engine.orders)
        engine.error = None
        await eventually(lambda: triggers(metrics, "started") == 51)
        assert metrics.engine_up
    # Some failed while that was counted, and came again.
    assert set(engine.orders[failed:]) == {"first", *map(str, range(50))}


async def test_what_an_outage_holds_back_is_bounded(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """What has no room is dropped, also where it has waited already; the sweeper brings it."""
    engine.error = EngineUnavailable("no Temporal")
    async with running(engine, marks, metrics, backlog=4, concurrency=1) as dispatcher:
        for number in range(20):
            dispatcher.notify("chat", str(number))
        await eventually(lambda: triggers(metrics, "failed") >= 10)
        assert dispatcher.remembered <= 5
        assert triggers(metrics, "dropped") >= 15


async def test_an_outage_is_told_once(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """Each outage has one line in the log, also where the look at the engine's health has found it first."""

    async def outage(dispatcher: Dispatcher, memory: str) -> None:
        metrics.engine_up = False
        engine.error = EngineUnavailable("no Temporal")
        before = triggers(metrics, "failed")
        dispatcher.notify("chat", memory)
        await eventually(lambda: triggers(metrics, "failed") >= before + 3)
        engine.error = None
        await eventually(lambda: metrics.engine_up)

    with capture_logs() as lines:
        async with running(engine, marks, metrics) as dispatcher:
            await outage(dispatcher, "a")
            await outage(dispatcher, "b")
    assert [line["event"] for line in lines] == ["flush.engine_away"] * 2


async def test_a_trace_outlasts_an_outage(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """The start that comes through at last is of the trace that the first one was for, unless a later one was told."""
    engine.error = EngineUnavailable("no Temporal")
    async with running(engine, marks, metrics) as dispatcher:
        dispatcher.notify("chat", "a", "one")
        await eventually(lambda: triggers(metrics, "failed") >= 2)
        engine.error = None
        await eventually(lambda: triggers(metrics, "started") == 1)
    assert set(engine.traces) == {"one"}


async def test_an_outage_is_not_hammered(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """During the pause nothing is tried, whatever is notified."""
    engine.error = EngineUnavailable("no Temporal")
    async with running(engine, marks, metrics, pause_s=60) as dispatcher:
        dispatcher.notify("chat", "first")
        await eventually(lambda: triggers(metrics, "failed") == 1)
        for number in range(50):
            dispatcher.notify("chat", str(number))
        for _ in range(20):
            await asyncio.sleep(0)
    assert engine.orders == ["first"]


@pytest.mark.parametrize(
    "error", [RedisRefused("WRONGTYPE no stream"), UnknownMemory("gone:a", ["chat"]), ZeroDivisionError("a bug")]
)
async def test_a_memory_that_cannot_be_started(
    engine: Engine, marks: Marks, metrics: Metrics, error: Exception
) -> None:
    """One memory that fails is counted and rests; it neither stops the others nor is tried in a loop."""
    engine.error = error
    async with running(engine, marks, metrics) as dispatcher:
        dispatcher.notify("chat", "bad")
        await eventually(lambda: triggers(metrics, "failed") == 1)
        engine.error = None
        dispatcher.notify("chat", "bad")
        dispatcher.notify("chat", "good")
        await eventually(lambda: triggers(metrics, "started") == 1)
    assert engine.orders == ["bad", "good"]


async def test_an_unknown_definition_is_logged_once(
    engine: Engine, marks: Marks, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every memory of a definition that is gone is counted, and one line says so."""
    engine.error = UnknownMemory("gone:a", ["chat"])
    async with running(engine, marks, metrics) as dispatcher:
        for number in range(5):
            dispatcher.notify("gone", str(number))
        await eventually(lambda: triggers(metrics, "failed") == 5)
    assert capsys.readouterr().out.count("flush.unknown_definition") == 1


async def test_stopping_in_the_middle_is_clean(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A dispatcher that is cancelled while starts hang ends at once, with all of its tasks."""
    before = asyncio.all_tasks()
    engine.gate.clear()
    async with running(engine, marks, metrics) as dispatcher:
        for number in range(50):
            dispatcher.notify("chat", str(number))
        await eventually(lambda: engine.at_once == 16)
    assert engine.at_once == 0
    assert asyncio.all_tasks() == before


async def test_starts_come_at_the_rate(engine: Engine, marks: Marks, metrics: Metrics) -> None:
    """A burst of starts goes at once, the others at the rate; what does not fit into the backlog is dropped."""
    began = asyncio.get_running_loop().time()
    async with running(engine, marks, metrics, backlog=30, starts_per_s=50, burst=10) as dispatcher:
        for number in range(40):
            dispatcher.notify("chat", str(number))
        await eventually(lambda: len(engine.orders) == 10)
        assert asyncio.get_running_loop().time() - began < 10 / 50
        await eventually(lambda: triggers(metrics, "started") == 30)
        assert asyncio.get_running_loop().time() - began >= 20 / 50
        assert triggers(metrics, "dropped") == 10
    assert engine.orders == [str(number) for number in range(30)]
