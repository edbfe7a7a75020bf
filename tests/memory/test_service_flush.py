"""The service's flushes and health, over a flush engine that answers what the test says; and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.errors import EngineUnavailable, FlushFailed, FlushTimeout, RedisRefused, Unavailable, Uncertain
from sidecar.memory.message import Message
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.memory.requests import AppendRequest, CountRequest, FlushRequest, HealthRequest, LockRequest
from sidecar.memory.results import FlushReport, HealthReport, LockGranted, MemoryInfo
from tests.memory.answering import AnsweringEngine, Bench, Others, info, memory, start
from tests.support.waiting import eventually

DONE = FlushOutcome("done", "run-0", "fifo", 4, 6, 40, 30, 10, 12, shortened=2)


def flush(*, force: bool = False, wait_ms: int | None = None, key: str = "k") -> FlushRequest:
    return FlushRequest(memory(key), force=force, wait_ms=wait_ms)


class TestFlush:
    @pytest.mark.parametrize(
        ("key", "state", "due"),
        [
            ("k", info(), False),
            ("k", info(8, 80), False),  # the thresholds themselves are within
            ("k", info(8, 70, summary_tokens=10), False),
            ("k", info(8, 81), True),
            ("k", info(8, 71, summary_tokens=10), True),
            ("k", info(9, 1), True),
            ("old:k", info(10**6, 10**9), False),  # without limits nothing is ever due
        ],
    )
    async def test_due_or_not(self, key: str, state: MemoryInfo, due: bool) -> None:
        """Without FORCE only a memory above a threshold is flushed; summary tokens are tokens."""
        bench = Bench(state)
        report = await bench.ask(flush(key=key))
        assert report.status == ("started" if due else "not-due")
        assert bench.engine.orders == ([FlushOrder("default", "k")] if due else [])

    async def test_force(self) -> None:
        """FORCE orders the flush whatever the memory holds; it is asked all the same, with the rights of the client."""
        bench = Bench(info())
        assert await bench.ask(flush(force=True)) == FlushReport("started", "flush-of-it", "run-1")
        assert (bench.engine.orders, bench.store.calls) == ([FlushOrder("default", "k", force=True)], [("info", "k")])

    async def test_a_client_without_rights(self) -> None:
        """Who may not look at the memory starts no flush of it, which would run with the rights of the process."""
        refused = RedisRefused("NOPERM this user has no permissions to access one of the keys used as arguments")
        bench = Bench(refused)
        assert await bench.ask(flush(force=True)) is refused
        assert bench.engine.orders == []

    async def test_joined(self) -> None:
        """A flush that was running already is joined, and said so."""
        bench = Bench(info(), engine=AnsweringEngine(started=False))
        assert await bench.ask(flush(force=True)) == FlushReport("joined", "flush-of-it", "run-1")

    @pytest.mark.parametrize("started", [True, False])
    async def test_done(self, started: bool) -> None:
        """WAIT brings the outcome, with the run that it is of."""
        bench = Bench(info(), engine=AnsweringEngine(DONE, started))
        assert await bench.ask(flush(force=True, wait_ms=1000)) == FlushReport(
            "done", "flush-of-it", "run-0", "fifo", 4, 6, 40, 30, 10, 12, shortened=2
        )

    async def test_no_longer_due(self) -> None:
        """A flush that found nothing to do says so, with the run that was started."""
        bench = Bench(info(), engine=AnsweringEngine(FlushOutcome("not-due")))
        report = await bench.ask(flush(force=True, wait_ms=1000))
        assert (report.status, report.run_id, report.strategy) == ("not-due", "run-1", None)

    @pytest.mark.parametrize(
        ("engine", "kind", "reply"),
        [
            (
                AnsweringEngine(FlushOutcome("failed", error="model is away")),
                FlushFailed,
                "FLUSHFAILED model is away; the memory is as it was",
            ),
            (
                AnsweringEngine(FlushOutcome("failed", error="Redis is away", certain=False)),
                FlushFailed,
                "FLUSHFAILED Redis is away; its commit may have been made all the same, then whole; MEMINFO shows it",
            ),
            (
                AnsweringEngine(FlushOutcome("failed")),
                FlushFailed,
                "FLUSHFAILED no reason given; the memory is as it was",
            ),
            (
                AnsweringEngine(EngineUnavailable("Temporal is away")),
                FlushFailed,
                "FLUSHFAILED its outcome cannot be asked for: Temporal is away; the flush itself may go on",
            ),
            (
                AnsweringEngine(None),
                FlushTimeout,
                "TIMEOUT the flush was not done within 20 ms; it goes on, MEMINFO shows its outcome",
            ),
        ],
    )
    async def test_no_good_outcome(self, engine: AnsweringEngine, kind: type[Exception], reply: str) -> None:
        """With WAIT a failure, an engine that went away and a flush that takes longer are errors that say so."""
        problem = await Bench(info(), engine=engine).ask(flush(force=True, wait_ms=20))
        assert isinstance(problem, kind)
        assert isinstance(problem, FlushFailed | FlushTimeout)
        assert problem.reply() == reply

    @pytest.mark.parametrize("wait_ms", [None, 1000])
    async def test_the_engine_is_away(self, wait_ms: int | None) -> None:
        """An engine that cannot be reached is a report, because the mark in the outbox brings the flush later."""
        bench = Bench(info(), engine=AnsweringEngine(error=EngineUnavailable("Temporal is away")))
        report = await bench.ask(flush(force=True, wait_ms=wait_ms))
        text = "Temporal is away; a memory that is due is flushed once the engine is back"
        assert report == FlushReport("failed", error=text)

    async def test_redis_is_away(self) -> None:
        """When it cannot be asked whether the memory is due, that is the answer, and nothing is started."""
        away = Unavailable("refused")
        bench = Bench(away)
        assert await bench.ask(flush()) is away
        assert bench.engine.orders == []

    async def test_a_bug_in_the_engine(self) -> None:
        """Any other exception becomes the result too."""
        bug = ZeroDivisionError()
        assert await Bench(info(), engine=AnsweringEngine(error=bug)).ask(flush(force=True)) is bug


class TestHealth:
    @pytest.mark.parametrize("up", [True, False])
    async def test_healthy(self, up: bool) -> None:
        """Redis makes the sidecar healthy, with the engine or without; the outbox is as the sweeper saw it."""
        bench = Bench("PONG", engine=AnsweringEngine(up=up))
        bench.tally.outbox(3, 1.5)
        report = await bench.ask(HealthRequest())
        assert 0 <= report.redis_ms < 1000
        encodings = {"cl100k_base": "letter", "o200k_base": "letter"}
        assert report == HealthReport(True, report.redis_ms, "local", up, 3, 1.5, encodings, 0, 0, 3, report.states)
        assert bench.tally.engine_up is up

    @pytest.mark.parametrize("away", [Unavailable("refused"), Uncertain("closed")])
    async def test_redis_is_away(self, away: Exception) -> None:
        """Without Redis the sidecar is not healthy, and says so instead of failing."""
        report = await Bench(away).ask(HealthRequest())
        assert (report.healthy, report.redis_ms, report.engine_up) == (False, None, True)

    async def test_nobody_answers(self) -> None:
        """Components that say nothing are down after their time limits, and the report still comes."""
        report = await Bench(None, engine=AnsweringEngine(up=None)).ask(HealthRequest())
        assert (report.healthy, report.redis_ms, report.engine_up) == (False, None, False)

    async def test_round_trip(self) -> None:
        """The round trip is in seconds; Redis's refusal is raised."""
        assert 0 <= await Bench("PONG").health.redis_round_trip() < 1
        with pytest.raises(Unavailable):
            await Bench(Unavailable("refused")).health.redis_round_trip()

    async def test_a_reply_that_comes_too_late(self) -> None:
        """What the store answers after the time limit disturbs nobody."""
        bench = Bench(None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bench.health.redis_round_trip()
        bench.store.waiting[0](Unavailable("too late"))


class TestStop:
    async def test_a_flush_whose_client_has_gone(self) -> None:
        """Nobody waits for it any more, and it is started and goes on all the same."""
        bench = Bench(info())
        request = flush(force=True, wait_ms=60_000)
        results = start(bench, request)
        bench.service.stop(request)
        await eventually(lambda: results)
        assert [type(result) for result in results] == [FlushTimeout]
        assert len(bench.engine.orders) == 1

    @pytest.mark.parametrize("asked", [LockRequest(memory("k"), 1_000), LockRequest(memory("k"), 1_000, renew="t")])
    async def test_a_lock_that_waits_for_nobody(self, asked: LockRequest) -> None:
        """It may have been granted or extended already, so that its client is told how it ended."""
        granted = LockGranted("t", 1, 1_000)
        bench = Bench(others=Others([granted]))
        results = start(bench, asked)
        bench.service.stop(asked)
        await eventually(lambda: results)
        assert results == [granted]

    async def test_a_wait_for_a_lock(self) -> None:
        """It ends, and Redis is not blamed for it."""
        bench = Bench(others=Others([None]))
        request = LockRequest(memory("k"), 1_000, wait_ms=60_000)
        results = start(bench, request)
        bench.service.stop(request)
        await eventually(lambda: results)
        assert [result.reply() for result in results] == [
            "UNAVAILABLE the wait for the lock was ended, as its client has gone or memsidecar stops; safe to retry"
        ]


class TestClose:
    async def test_tasks_end(self) -> None:
        """Closing ends what runs; each caller is answered once, whoever waited for a flush that it goes on."""
        bench = Bench(None)
        waiting = start(bench, flush(force=True, wait_ms=60_000))
        await eventually(lambda: bench.store.waiting)
        bench.store.waiting.pop()(info())
        asking = start(bench, flush())
        storing = start(bench, AppendRequest(memory("k"), [Message("user", "x")], large=True))
        await eventually(lambda: bench.engine.orders and len(bench.store.waiting) == 2)
        await bench.service.close()
        for results, kind in (
            (waiting, FlushTimeout),
            (asking, FlushTimeout),
            (storing, asyncio.CancelledError),
        ):
            assert [type(result) for result in results] == [kind]
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "mem-command"]
        for done in bench.store.waiting:  # replies that come now are nobody's
            done(info())

    @pytest.mark.filterwarnings("error")
    async def test_a_task_that_has_not_begun(self) -> None:
        """A command that came right before the end is answered too."""
        bench = Bench(info())
        results = start(bench, HealthRequest())
        await bench.service.close()
        assert [type(result) for result in results] == [asyncio.CancelledError]

    async def test_nothing_to_close(self) -> None:
        """Closing is quick when nothing runs, and may be done twice."""
        bench = Bench(info())
        assert await bench.ask(CountRequest(["x"])) == [1]
        await bench.service.close()
        await bench.service.close()
