"""MEMPIN and MEMUNPIN: ids."""

from __future__ import annotations

from sidecar.memory.requests import PinRequest
from tests.commands.asking import MEMORY, check_both, parse, refused


def test_requests() -> None:
    """Both take ids; they differ in what they do."""
    assert parse("MEMPIN", "k", "1-2", "3") == PinRequest(MEMORY, ["1-2", "3-0"], pin=True)
    assert parse("MEMUNPIN", "k", "1-2") == PinRequest(MEMORY, ["1-2"], pin=False)
    assert refused("MEMPIN", "k", "x") == "ERR MEMPIN expects message ids such as 1732312345678-0, not 'x'"
    assert refused("MEMUNPIN", "k", "x") == "ERR MEMUNPIN expects message ids such as 1732312345678-0, not 'x'"


def test_replies() -> None:
    """The number of messages for which that changed something."""
    check_both("MEMPIN", 3, 3)
    check_both("MEMUNPIN", 0, 0)
