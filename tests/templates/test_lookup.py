"""What a name leads to: items, and never attributes."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.errors import TemplateProblem
from sidecar.templates.lookup import Found, Missing, item, shown


@pytest.mark.parametrize(
    ("container", "name", "value"),
    [({"a": 1}, "a", 1), ({"1": "x"}, 1, "x"), ([5, 6], 1, 6), ([5, 6], "1", 6), ({"items": 7}, "items", 7)],
)
def test_items(container: Any, name: str | int, value: Any) -> None:
    """Objects by key, lists by place."""
    found = item(Found(container, "c"), name)
    assert isinstance(found, Found)
    assert (found.value, found.path) == (value, f"c.{name}")


@pytest.mark.parametrize(
    ("container", "name"),
    [
        ({"a": 1}, "b"),
        ({}, "keys"),
        ([5], 1),
        ([5], -1),
        ([5], "x"),
        ("text", 0),
        ("text", "upper"),
        (None, "a"),
        (5, "real"),
    ],
)
def test_no_attributes(container: Any, name: str | int) -> None:
    """What is no item is missing, whatever attributes Python gives it; and so is all that would follow."""
    missing = item(Found(container, "c"), name)
    assert isinstance(missing, Missing)
    assert item(missing, "deeper").path == f"c.{name}.deeper"
    with pytest.raises(TemplateProblem, match=f"there is no 'c.{name}'"):
        str(missing)


@pytest.mark.parametrize(("value", "text"), [("x", "x"), (5, "5"), (0.5, "0.5"), (True, "true"), (False, "false")])
def test_shown(value: Any, text: str) -> None:
    """Strings, numbers and booleans stand in a key as in JSON."""
    assert shown(value, "p") == text


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "null"), ([1], "a list"), ({}, "an object"), (float("nan"), "no finite number")]
)
def test_not_shown(value: Any, kind: str) -> None:
    """What does not fit into a key is named by its path."""
    with pytest.raises(TemplateProblem, match=f"'p' is {kind}"):
        shown(value, "p")
