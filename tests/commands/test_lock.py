"""MEMLOCK and MEMUNLOCK: lengths and waits within what the definition allows."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.memory.requests import LockRequest, UnlockRequest
from sidecar.memory.results import LockGranted
from tests.commands.asking import MEMORY, check_both, parse, refused


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("1000", {"ttl_ms": 1000}),
        ("1000 WAIT 500", {"ttl_ms": 1000, "wait_ms": 500}),
        ("1000 renew t", {"ttl_ms": 1000, "renew": "t"}),
        ("1000 RENEW t WAIT 0", {"ttl_ms": 1000, "renew": "t"}),
    ],
)
def test_options(options: str, fields: dict[str, Any]) -> None:
    """A length, and WAIT or RENEW, in any case."""
    assert parse("MEMLOCK", "k", *options.split()) == LockRequest(MEMORY, **fields)


ERRORS = {
    "soon": "ERR ttl-ms takes a whole number from 0 to 2^53, not 'soon'",
    "99": "ERR ttl-ms must be 100 to 600000 for 'default', not 99; a longer turn extends its lease with RENEW",
    "600001": "ERR ttl-ms must be 100 to 600000 for 'default', not 600001; a longer turn extends its lease with RENEW",
    "1000 WAIT 60001": "ERR WAIT must be at most 60000 for 'default', not 60001",
    "1000 WAIT 5 RENEW t": "ERR RENEW extends a lease that is held, which takes no WAIT; give one of them",
    "1000 NOW": "ERR MEMLOCK has no option 'NOW'; it knows WAIT and RENEW",
}


@pytest.mark.parametrize("options", ERRORS)
def test_errors(options: str) -> None:
    """What is wrong is said, with the limit."""
    assert refused("MEMLOCK", "k", *options.split()) == ERRORS[options]


def test_unlock() -> None:
    """A key and a token, which must be one."""
    assert parse("MEMUNLOCK", "k", "t") == UnlockRequest(MEMORY, "t")
    assert refused("MEMUNLOCK", "k", "") == "ERR MEMUNLOCK takes a token of 1 to 256 bytes, this one has 0"
    assert refused("MEMUNLOCK", "k", b"\xff") == "ERR the token of MEMUNLOCK is not UTF-8"


def test_replies() -> None:
    """The lease is a map, its release a number."""
    check_both("MEMLOCK", LockGranted("t", 7, 1000, 3), {"token": "t", "fence": 7, "ttl-ms": 1000, "waited-ms": 3})
    check_both("MEMUNLOCK", True, 1)
    check_both("MEMUNLOCK", False, 0)
