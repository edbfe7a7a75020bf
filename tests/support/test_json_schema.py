"""The schema checker refuses what a schema forbids, and takes the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.json_schema import misfits

PART = {"$defs": {"part": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}

CASES: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"type": "integer"}, [1, 1.0, -1], [True, 1.5, "1", None]),
    ({"type": ["string", "null"]}, ["", None], [1, []]),
    ({"type": "boolean"}, [True], [1, "true"]),
    ({"enum": [0, "0"]}, [0, "0"], [1, "1"]),
    ({"minimum": 1, "maximum": 3}, [1, 3, "not a number"], [0, 4]),
    ({"exclusiveMinimum": 0}, [0.1], [0]),
    ({"minLength": 1, "maxLength": 2, "pattern": "^a"}, ["a", "ab", 5], ["", "abc", "b"]),
    ({"minItems": 1, "maxItems": 2, "items": {"type": "string"}}, [["a"], "a"], [[], ["a", "b", "c"], [1]]),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["", None], [1]),
    ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, [{}, {"a": None}], [{"a": 1}, {"b": 1}]),
    ({"additionalProperties": {"type": "string"}}, [{"a": "b"}], [{"a": 1}]),
    ({**PART, "$ref": "#/$defs/part"}, [{"n": 1}], [{}, {"n": "x"}, []]),
]


@pytest.mark.parametrize(("schema", "fitting", "others"), CASES, ids=lambda value: str(value)[:40])
def test_keywords(schema: dict[str, Any], fitting: list[Any], others: list[Any]) -> None:
    """Each keyword means what the draft says."""
    assert [misfits(value, schema) for value in fitting] == [[] for _ in fitting]
    assert all(misfits(value, schema) for value in others)


def test_an_unknown_keyword() -> None:
    """A keyword that is not known is an error: what it forbids would pass for right."""
    with pytest.raises(ValueError, match="multipleOf"):
        misfits(1, {"multipleOf": 2})
