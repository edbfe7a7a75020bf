"""Waiting for a condition with a limit: what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, overload

import pytest

T = TypeVar("T")

LIMIT_S = 30.0
"""Far more than any condition needs, on a machine that stands still for seconds now and then, too, and less than the
limit of a test. Only a test that fails waits so long."""

DIAL_LIMIT_S = 30.0
"""For a connection to a Redis that is there. By default a dialer waits two seconds, which is too short on a machine
that has more to do, and for a test that keeps its own loop busy meanwhile."""

POLL_S = 0.01
"""Short against everything that is waited for, long enough to leave the processor to it."""


@overload
async def eventually(check: Callable[[], Awaitable[T]], *, limit_s: float = ..., why: str = ...) -> T: ...


@overload
async def eventually(check: Callable[[], T], *, limit_s: float = ..., why: str = ...) -> T: ...


async def eventually(
    check: Callable[[], T | Awaitable[T]],
    *,
    limit_s: float = LIMIT_S,
    why: str = "the condition did not come true",
) -> T:
    """Ask `check` until it answers something true, and return that answer.

    `check` is a plain or an async function. After `limit_s` the test fails with `why` and the last answer; an
    exception of `check` is passed on at once.
    """
    deadline = time.monotonic() + limit_s
    while True:
        answer = check()
        value: T = await answer if isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() >= deadline:
            pytest.fail(f"{why} (waited {limit_s:g} s; last answer: {value!r})")
        await asyncio.sleep(POLL_S)
