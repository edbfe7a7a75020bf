"""The union of the connection's context and the command's."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.commands.resolving import MAX_UNION_DEPTH, union


@pytest.mark.parametrize(
    ("connection", "command", "united"),
    [
        ({}, {}, {}),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"w": {"id": 1, "x": {"y": 1}}}, {"w": {"x": {"z": 2}}}, {"w": {"id": 1, "x": {"y": 1, "z": 2}}}),
        ({"w": {"id": 1}}, {"w": [1]}, {"w": [1]}),
        ({"w": [1]}, {"w": {"id": 1}}, {"w": {"id": 1}}),
        ({"w": [1, 2]}, {"w": [3]}, {"w": [3]}),
    ],
)
def test_union(connection: dict[str, Any], command: dict[str, Any], united: dict[str, Any]) -> None:
    """Objects are united at every level, anything else is the command's; neither is changed."""
    before = repr((connection, command))
    assert union(connection, command) == united
    assert repr((connection, command)) == before


def test_depth() -> None:
    """Deeper than templates go, the command's object is taken whole."""
    left: dict[str, Any] = {"l": 1}
    right: dict[str, Any] = {"r": 1}
    for _ in range(MAX_UNION_DEPTH + 1):
        left, right = {"n": left}, {"n": right}
    inner: Any = union(left, right)
    for _ in range(MAX_UNION_DEPTH + 1):
        inner = inner["n"]
    assert inner == {"r": 1}
