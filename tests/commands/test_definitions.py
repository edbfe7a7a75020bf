"""MEMDEFS: which definitions there are, and everything about one."""

from __future__ import annotations

from dataclasses import fields

from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)
from sidecar.memory.requests import DefinitionsRequest
from tests.commands.asking import check_both, parse, received, refused

FULL = Definition(
    "chat",
    max_messages=10,
    priority_blocks=(PriorityBlock("facts", "critical", ("user",), ("remember",)),),
    token_allocation={"system": 0.25},
    privacy=PrivacyPolicy(("email",), (RedactionPattern("badge", "B-[0-9]+"),)),
)


def test_request() -> None:
    """No argument, or an id."""
    assert parse("MEMDEFS") == DefinitionsRequest()
    assert parse("MEMDEFS", "chat") == DefinitionsRequest("chat")
    assert refused("MEMDEFS", "chat", "x") == "ERR wrong number of arguments for 'memdefs' command"


def test_ids() -> None:
    """Without an id, all of them."""
    check_both("MEMDEFS", ["chat", "default"], ["chat", "default"])


def test_every_field_is_told() -> None:
    """The map has every field of a definition and of its parts, and what follows from them."""
    told = received("MEMDEFS", FULL, 3)
    parts = (
        (told, Definition),
        (told["flush"], FlushPolicy),
        (told["locking"], LockPolicy),
        (told["privacy"], PrivacyPolicy),
        (told["privacy"]["patterns"][0], RedactionPattern),
        (told["priority-blocks"][0], PriorityBlock),
    )
    for part, kind in parts:
        assert {field.name.replace("_", "-") for field in fields(kind)} <= set(part)
    assert (told["threshold-messages"], told["target-messages"]) == (8, 5)
    assert told["token-allocation"] == {"system": 0.25}
    check_both("MEMDEFS", FULL, told)
