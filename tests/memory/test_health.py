"""The report on the process itself: each component, up, down or silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sidecar.errors import Unavailable
from sidecar.memory import health
from sidecar.memory.definition import Definition
from sidecar.memory.results import HealthReport
from tests.memory.answering import AnsweringEngine, Bench
from tests.support.waiting import eventually

AWAY = Unavailable("refused")


async def test_everything_is_well() -> None:
    """Round trip, engine, outbox, locks and the engines of all encodings in use are told."""
    bench = Bench(None)
    bench.store.answers = ["PONG"]
    bench.tally.outbox(3, 1.5)
    bench.tally.lock_acquired()
    bench.tally.lock_refused()
    report = await bench.health.report()
    assert report.redis_ms is not None
    assert report == HealthReport(
        healthy=True,
        redis_ms=report.redis_ms,
        engine="local",
        engine_up=True,
        outbox_depth=3,
        outbox_age_seconds=1.5,
        encodings={"cl100k_base": "letter", "o200k_base": "letter"},
        locks_acquired=1,
        locks_refused=1,
        lock_waiters=3,
        states=report.states,
    )
    assert {name: state.state for name, state in report.states.items()} == {
        "redis": "up",
        "flush-engine": "up",
        "outbox": "up",
    }
    assert all(state.age_ms is not None and 0 <= state.age_ms < 60_000 for state in report.states.values())
    assert (bench.tally.engine_up, bench.tally.redis_up) == (True, True)


async def test_nothing_sticks() -> None:
    """What was down is up as soon as it is back, without anybody doing anything; how long it is so is told."""
    engine = AnsweringEngine(up=False)
    bench = Bench(AWAY, engine=engine)
    down = await bench.health.report()
    assert {name: state.state for name, state in down.states.items()} == {
        "redis": "down",
        "flush-engine": "down",
        "outbox": "unknown",
    }
    assert bench.health.latest().healthy is False
    assert (bench.tally.engine_up, bench.tally.redis_up) == (False, False)
    bench.store.answers, engine.up = ["PONG"], True
    bench.tally.outbox(0, 0.0)
    running = asyncio.create_task(bench.health.run())
    await eventually(lambda: bench.tally.redis_up)
    running.cancel()
    back = bench.health.latest()
    assert (back.healthy, [state.state for state in back.states.values()]) == (True, ["up"] * 3)
    assert (bench.tally.engine_up, bench.tally.redis_up) == (True, True)


async def test_an_outbox_that_nobody_looks_at() -> None:
    """Once several sweeps are missed the outbox is down, with the age of the last look; the next sweep heals it."""
    bench = Bench("PONG")
    bench.tally.outbox(1, 2.0)
    bench.tally.outbox_swept -= 3600
    late = (await bench.health.report()).states["outbox"]
    assert late.state == "down"
    assert late.age_ms is not None
    assert late.age_ms > 3_500_000
    bench.tally.outbox(1, 2.0)
    assert bench.health.latest().states["outbox"].state == "up"


@pytest.mark.parametrize("answer", [AWAY, None])
async def test_redis_is_away(answer: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that refuses, or says nothing within the limit, is down, and so is the whole; the rest is told."""
    monkeypatch.setattr(health, "HEALTH_LIMIT_S", 0.05)
    report = await Bench(answer).health.report()
    assert (report.healthy, report.redis_ms, report.engine_up) == (False, None, True)


@pytest.mark.parametrize("up", [False, None])
async def test_the_engine_is_away(up: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories work without the engine: it is told as down, and the whole is healthy."""
    monkeypatch.setattr(health, "HEALTH_LIMIT_S", 0.05)
    bench = Bench("PONG", engine=AnsweringEngine(up=up))
    report = await bench.health.report()
    assert (report.healthy, report.engine_up, bench.tally.engine_up) == (True, False, False)


async def test_many_ask_at_once() -> None:
    """Redis is asked once for all who want to know at the same time, and anew for those who come later."""
    bench = Bench(None, None, "PONG")
    asking = [asyncio.ensure_future(bench.health.report()) for _ in range(20)]
    await eventually(lambda: bench.store.waiting)
    asking[0].cancel()  # its client has gone; the others get their answer
    bench.store.waiting.pop()("PONG")
    reports = await asyncio.gather(*asking[1:])
    assert all(report is reports[0] for report in reports)
    assert bench.store.calls == [("ping",)]
    bench.store.answers = ["PONG"]
    assert await bench.health.report() is not reports[0]
    assert len(bench.store.calls) == 2


async def test_encodings_follow_the_definitions() -> None:
    """After a reload the encodings are those of the definitions in force."""
    bench = Bench("PONG")
    bench.catalogue.replace({"old": Definition("old", encoding="cl100k_base")}, strict=True)
    assert (await bench.health.report()).encodings == {"cl100k_base": "letter"}


async def test_a_round_trip() -> None:
    """Its seconds, or what went wrong; an answer that comes too late harms nobody."""
    assert 0 <= await Bench("PONG").health.redis_round_trip() < 10
    with pytest.raises(Unavailable):
        await Bench(AWAY).health.redis_round_trip()
    bench = Bench(None)
    late: Any = asyncio.ensure_future(bench.health.redis_round_trip())
    await eventually(lambda: bench.store.waiting)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    bench.store.waiting.pop()(AWAY)
