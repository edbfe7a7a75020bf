"""The circuit breaker before the engine."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.errors import EngineUnavailable
from sidecar.flush.breaker import Breaker
from tests.support.waiting import eventually


class Engine:
    """Something to call that is there or not."""

    def __init__(self) -> None:
        self.away = False
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0

    async def call(self) -> int:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if self.away:
                raise EngineUnavailable("away")
            return self.calls
        finally:
            self.at_once -= 1


async def failing(breaker: Breaker, engine: Engine, times: int = 1) -> None:
    """Call that many times at once and expect each to fail."""
    answers = await asyncio.gather(*(breaker.call(engine.call) for _ in range(times)), return_exceptions=True)
    assert all(isinstance(answer, EngineUnavailable) for answer in answers)


async def test_calls_pass() -> None:
    """While the engine answers, calls go through, many at once."""
    breaker, engine = Breaker(first_pause_s=60, longest_pause_s=60), Engine()
    assert await breaker.call(engine.call) == 1
    await asyncio.gather(*(breaker.call(engine.call) for _ in range(10)))
    assert engine.most_at_once == 10
    assert not breaker.is_open


async def test_a_failure_holds_the_others_back() -> None:
    """After a failure the next call waits; the failed one is told at once."""
    breaker, engine = Breaker(first_pause_s=60, longest_pause_s=60), Engine()
    engine.away = True
    await failing(breaker, engine)
    assert breaker.is_open
    waiting = asyncio.create_task(breaker.call(engine.call))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    assert engine.calls == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_probe_at_a_time_until_the_engine_is_back() -> None:
    """Of many waiting calls one tries at a time; once one succeeds, all go through."""
    breaker, engine = Breaker(first_pause_s=0.001, longest_pause_s=0.002), Engine()
    engine.away = True
    await failing(breaker, engine)
    engine.most_at_once = 0
    await failing(breaker, engine, times=5)
    assert engine.most_at_once == 1
    engine.away = False
    calls = [asyncio.create_task(breaker.call(engine.call)) for _ in range(10)]
    await asyncio.gather(*calls)
    assert not breaker.is_open
    assert engine.most_at_once > 1


async def test_the_pause_doubles_up_to_its_limit() -> None:
    """Each failed probe doubles the pause; calls that fail together count once."""
    breaker, engine = Breaker(first_pause_s=0.001, longest_pause_s=0.003), Engine()
    engine.away = True
    pauses = []
    for times in (10, 1, 1, 1):
        await failing(breaker, engine, times)
        pauses.append(breaker.pause_s)
    assert pauses == [0.001, 0.002, 0.003, 0.003]
    engine.away = False
    await breaker.call(engine.call)
    assert breaker.pause_s == 0


async def test_other_errors_are_no_outage() -> None:
    """An engine that refuses one call is there for the others."""
    breaker = Breaker(first_pause_s=60, longest_pause_s=60)

    async def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await breaker.call(refuse)
    assert not breaker.is_open


async def test_a_cancelled_probe_lets_the_next_one_try() -> None:
    """Whoever gives up while it waits for its probe does not hold up the others."""
    breaker, engine = Breaker(first_pause_s=0.02, longest_pause_s=0.02), Engine()
    engine.away = True
    await failing(breaker, engine)
    engine.away = False
    first = asyncio.create_task(breaker.call(engine.call))
    second = asyncio.create_task(breaker.call(engine.call))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    await eventually(first.cancelled)
