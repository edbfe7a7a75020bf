"""The bucket on a clock of the test's own."""

from __future__ import annotations

import asyncio
import time

import pytest

from sidecar.flush.bucket import Bucket


def test_a_burst_and_then_the_rate() -> None:
    """After a quiet time a burst goes at once, and then one call after the other at the rate."""
    bucket = Bucket(per_s=10, burst=3, clock=lambda: 5.0)
    assert [bucket.take() for _ in range(6)] == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])


def test_quiet_time_fills_it_up_to_the_burst() -> None:
    """What was not used is saved, but never more than a burst; who waited has had the tokens of that time."""
    now = [0.0]
    bucket = Bucket(per_s=10, burst=2, clock=lambda: now[0])
    assert [bucket.take() for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])
    now[0] = 0.2
    assert bucket.take() == pytest.approx(0.1)
    now[0] = 1_000.0
    assert [bucket.take() for _ in range(3)] == pytest.approx([0, 0, 0.1])


async def test_waiting_takes_as_long_as_said() -> None:
    """Callers are let through at the rate, in the order in which they came."""
    bucket = Bucket(per_s=100, burst=1)
    order: list[int] = []

    async def call(number: int) -> None:
        await bucket.wait()
        order.append(number)

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(21):
            group.create_task(call(number))
    assert time.monotonic() - began >= 0.19
    assert order == list(range(21))
