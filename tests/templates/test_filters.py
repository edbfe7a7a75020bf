"""The filters by themselves; how templates call them is told in the tests of `engine`."""

from __future__ import annotations

import pytest

from sidecar.errors import TemplateProblem
from sidecar.templates.filters import FILTERS, MAX_CHARACTERS, default, join, lower, replace, text, trunc, upper
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
    with pytest.raises(TemplateProblem, match="a text of 8192 characters"):
        lower("İ" * MAX_CHARACTERS)
    with pytest.raises(TemplateProblem, match="a text of 8192 characters"):
        upper("ß" * MAX_CHARACTERS)


def test_bounds_are_exact() -> None:
    """A text of the greatest length is made, with one character more it is not."""
    assert join(Found([""] * (MAX_CHARACTERS + 1), "l"), "-") == "-" * MAX_CHARACTERS
    assert join(Found([], "l"), "-" * MAX_CHARACTERS) == ""
    assert len(replace("ab", "b", "c" * (MAX_CHARACTERS - 1))) == MAX_CHARACTERS
    with pytest.raises(TemplateProblem, match="a text of 4097 characters"):
        join(Found([""] * (MAX_CHARACTERS + 2), "l"), "-")
    with pytest.raises(TemplateProblem, match="a text of 4097 characters"):
        replace("ab", "b", "c" * MAX_CHARACTERS)


@pytest.mark.parametrize("value", [Missing("a"), Found(None, "a"), Found("", "a"), None, ""])
def test_default(value: object) -> None:
    """What is missing, null or empty has a default; zero and false stand for themselves."""
    assert default(value, "x") == "x"
    for present in (0, False, Found(0, "a"), Found(False, "a"), Found([], "a")):
        assert default(present, "x") is present


@pytest.mark.parametrize("value", [Missing("a"), Found(None, "a"), Found([1], "a")])
def test_no_text(value: object) -> None:
    """What is no text is an error in every filter that wants one."""
    with pytest.raises(TemplateProblem):
        text(value)


def test_trunc() -> None:
    """First characters, or last ones; more than there are is all of them."""
    assert [trunc("abc", length) for length in (0, 2, 9, -2, -9)] == ["", "ab", "abc", "bc", "abc"]
