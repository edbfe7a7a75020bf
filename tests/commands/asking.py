"""Parses commands through the table, and reads replies back as a client of each protocol does."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from sidecar.commands.table import COMMANDS
from sidecar.errors import CommandError
from sidecar.memory.addressing import Memory
from sidecar.resp import replies
from tests.support.addressing import addressing

resolve = addressing().resolve

MEMORY: Memory = resolve(b"k")
"""What the key `k` names."""


def parse(name: str, *arguments: str | bytes) -> Any:
    """Return the request that a command makes of its arguments."""
    items = [item.encode() if isinstance(item, str) else item for item in arguments]
    return COMMANDS[name.encode()].request(items, resolve)


def refused(name: str, *arguments: str | bytes) -> str:
    """Return the error line of a command that cannot be parsed."""
    with pytest.raises(CommandError) as problem:
        parse(name, *arguments)
    return problem.value.reply()


def complaint(name: str, *arguments: str) -> str:
    """Return the error line of a command, "" if it can be parsed."""
    try:
        parse(name, *arguments)
    except CommandError as problem:
        return problem.reply()
    return ""


def received(name: str, result: object, protocol: int) -> Any:
    """Return what a client reads where a command answers `result`."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(replies.encode(COMMANDS[name.encode()].render(result), protocol))
    return reader.gets()


def flat(value: Any) -> Any:
    """Return what RESP2 makes of a RESP3 value: maps are flat arrays, booleans and fractions 0, 1 and text."""
    if isinstance(value, dict):
        return [part for name, item in value.items() for part in (name, flat(item))]
    if isinstance(value, list):
        return [flat(item) for item in value]
    if isinstance(value, bool):
        return int(value)
    return repr(value) if isinstance(value, float) else value


def check_both(name: str, result: object, expected: Any) -> None:
    """A RESP3 client reads `expected`, types included, a RESP2 client the same in its terms, in the same order."""
    for protocol, wanted in ((3, expected), (2, flat(expected))):
        reply = received(name, result, protocol)
        assert reply == wanted
        assert repr(reply) == repr(wanted)
