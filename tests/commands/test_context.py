"""MEMCONTEXT: a JSON object, CLEAR, or nothing."""

from __future__ import annotations

from sidecar.memory.requests import ContextRequest
from tests.commands.asking import check_both, parse, refused


def test_requests() -> None:
    """An object sets, CLEAR drops, nothing shows."""
    assert parse("MEMCONTEXT") == ContextRequest()
    assert parse("MEMCONTEXT", "clear") == ContextRequest(clear=True)
    assert parse("MEMCONTEXT", '{"a":{"b":1}}') == ContextRequest({"a": {"b": 1}})


def test_errors() -> None:
    """Anything but an object, and one that is too large, are refused."""
    assert refused("MEMCONTEXT", "[1]").startswith("ERR MEMCONTEXT takes a JSON object: ")
    assert refused("MEMCONTEXT", "{}", "{}") == "ERR wrong number of arguments for 'memcontext' command"
    large = '{"a":"' + "x" * 65_536 + '"}'
    assert refused("MEMCONTEXT", large) == (
        f"ERR MEMCONTEXT takes at most 65536 bytes of JSON, this one has {len(large)}"
    )
    assert refused("MEMCONTEXT", '{"a":' * 5_000 + "1" + "}" * 5_000).startswith("ERR MEMCONTEXT takes a JSON object: ")


def test_replies() -> None:
    """OK where it was set or dropped, else the JSON."""
    check_both("MEMCONTEXT", None, "OK")
    check_both("MEMCONTEXT", {"a": {"b": 1}}, '{"a":{"b":1}}')
