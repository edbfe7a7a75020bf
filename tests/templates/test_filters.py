"""The filters by themselves; how templates call them is told in the tests of `engine`."""

from __future__ import annotations

import pytest

from sidecar.errors import TemplateProblem
from sidecar.templates.filters import FILTERS, MAX_CHARACTERS, join, replace, text, trunc
from sidecar.templates.lookup import Found, Missing


def test_which_there_are() -> None:
    """These, by these names."""
    assert list(FILTERS) == ["default", "lower", "upper", "trim", "replace", "join", "trunc"]


def test_bounds_are_checked_before_a_text_is_made() -> None:
    """A replacement or a join that would be too long is not made at all."""
    many = Found(["x"] * 1_000, "l")
    with pytest.raises(TemplateProblem, match="a text of 16384000 characters"):
        replace("a" * 4_000, "a", "b" * MAX_CHARACTERS)
    with pytest.raises(TemplateProblem, match="characters"):
        join(many, "-" * 100)


@pytest.mark.parametrize("value", [Missing("a"), Found(None, "a"), Found([1], "a")])
def test_no_text(value: object) -> None:
    """What is no text is an error in every filter that wants one."""
    with pytest.raises(TemplateProblem):
        text(value)


def test_trunc() -> None:
    """First characters, or last ones; more than there are is all of them."""
    assert [trunc("abc", length) for length in (0, 2, 9, -2, -9)] == ["", "ab", "abc", "bc", "abc"]
