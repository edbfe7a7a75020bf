"""MEMFORK: a source, a target and where to end."""

from __future__ import annotations

from sidecar.memory.requests import ForkRequest
from sidecar.memory.results import AppendResult
from tests.commands.asking import MEMORY, check_both, parse, refused, resolve


def test_request() -> None:
    """Two keys, and an id after AT."""
    target = resolve(b"l")
    assert parse("MEMFORK", "k", "l") == ForkRequest(MEMORY, target)
    assert parse("MEMFORK", "k", "l", "at", "5") == ForkRequest(MEMORY, target, "5-0")


def test_errors() -> None:
    """Another option, and a memory copied to itself, are refused."""
    assert refused("MEMFORK", "k", "l", "TO", "5") == "ERR MEMFORK has no option 'TO'; it knows AT"
    assert refused("MEMFORK", "k", "l", "AT", "x").startswith("ERR MEMFORK expects message ids such as ")
    same = "ERR source and target of MEMFORK are the same memory; name an empty one as target"
    assert refused("MEMFORK", "k", "default:k") == same


def test_reply() -> None:
    """The reply is that of an append; where nothing was copied there are no ids."""
    check_both(
        "MEMFORK",
        AppendResult(None, None, 0, 0, 0, "none"),
        {
            "first-id": None,
            "last-id": None,
            "appended": 0,
            "messages": 0,
            "tokens": 0,
            "flush": "none",
            "duplicate": False,
        },
    )
