"""`eventually` itself."""

from __future__ import annotations

import pytest

from tests.support.waiting import eventually


async def test_returns_the_first_true_answer() -> None:
    """Plain and async functions are asked until their answer is true, and that answer comes back."""
    answers = iter([0, "", None, 7])
    assert await eventually(lambda: next(answers)) == 7

    async def check() -> str:
        return "yes"

    assert await eventually(check) == "yes"


async def test_fails_with_the_reason_and_the_last_answer() -> None:
    """After the limit the test fails, and the text says what was waited for and what came instead."""
    with pytest.raises(pytest.fail.Exception, match=r"no keys \(waited 0.05 s; last answer: \[\]\)"):
        await eventually(list, limit_s=0.05, why="no keys")


async def test_errors_are_not_swallowed() -> None:
    """An exception of the check is a failure of the test, not a reason to wait longer."""

    def check() -> bool:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await eventually(check)
