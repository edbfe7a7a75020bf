"""MEMLIST: a cursor and filters, as SCAN has them."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.commands.walk import MAX_COUNT
from sidecar.memory.requests import ListRequest
from sidecar.memory.results import ListPage
from tests.commands.asking import check_both, parse, refused


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ("", {}),
        ("0", {}),
        ("17", {"cursor": "17"}),
        ("DUE", {"due": True}),
        ("17 match chat:* count 5 due", {"cursor": "17", "pattern": b"chat:*", "count": 5, "due": True}),
        ("COUNT 99999999", {"count": MAX_COUNT}),
    ],
)
def test_options(arguments: str, fields: dict[str, Any]) -> None:
    """A cursor, if there is one, comes first."""
    assert parse("MEMLIST", *arguments.split()) == ListRequest(**fields)


ERRORS = {
    "x": "ERR the cursor is 0 at first, then what the last reply gave, not 'x'",
    "0 0": "ERR MEMLIST has no option '0'; it knows MATCH, COUNT and DUE",
    "MATCH": "ERR MEMLIST expects a pattern after MATCH at the end of its arguments",
    "COUNT 0": "ERR COUNT takes a whole number from 1 to 2^53, not '0'",
    f"MATCH {'x' * 1025}": "ERR MATCH takes at most 1024 bytes",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments: str) -> None:
    """What is wrong is said."""
    assert refused("MEMLIST", *arguments.split()) == ERRORS[arguments]


def test_reply() -> None:
    """The next cursor, and an array of keys."""
    check_both("MEMLIST", ListPage("17", ["chat:1", "k"]), ["17", ["chat:1", "k"]])
