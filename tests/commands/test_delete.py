"""MEMDEL: ids, a lease, and whether pairs go together."""

from __future__ import annotations

import pytest

from sidecar.commands.delete import MAX_IDS
from sidecar.memory.requests import DeleteRequest
from tests.commands.asking import MEMORY, check_both, parse, refused


def test_options() -> None:
    """LOCK and PAIRS stand in front of the ids; an id without a sequence is the first one of its millisecond."""
    assert parse("MEMDEL", "k", "1-2", "3") == DeleteRequest(MEMORY, ["1-2", "3-0"])
    assert parse("MEMDEL", "k", "PAIRS", "lock", "t", "1-2") == DeleteRequest(MEMORY, ["1-2"], pairs=True, lock="t")


ERRORS = {
    "k PAIRS": "ERR MEMDEL expects a message id at the end of its arguments",
    "k LOCK t": "ERR MEMDEL expects a message id at the end of its arguments",
    "k 1-2 PAIRS": "ERR MEMDEL expects message ids such as 1732312345678-0, not 'PAIRS'",
    "k": "ERR wrong number of arguments for 'memdel' command",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments: str) -> None:
    """What is wrong is said."""
    assert refused("MEMDEL", *arguments.split()) == ERRORS[arguments]


def test_too_many_ids() -> None:
    """The number of ids is bounded, because one script deletes them all."""
    assert len(parse("MEMDEL", "k", *["1-1"] * MAX_IDS).ids) == MAX_IDS
    line = f"ERR MEMDEL takes at most {MAX_IDS} ids at a time, not {MAX_IDS + 1}"
    assert refused("MEMDEL", "k", *["1-1"] * (MAX_IDS + 1)) == line


def test_reply() -> None:
    """The number of messages that went."""
    check_both("MEMDEL", 3, 3)
