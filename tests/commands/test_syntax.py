"""How arguments are written down."""

from __future__ import annotations

import pytest

from sidecar.commands.syntax import Argument, block, key, notation, number, one_of, optional, several, text, word

CASES: list[tuple[Argument, str]] = [
    (key("RO"), "key"),
    (text("id"), "id"),
    (text("id", "SINCE"), "SINCE id"),
    (word("PEEK"), "PEEK"),
    (optional(word("PEEK")), "[PEEK]"),
    (optional(number("n", "COUNT")), "[COUNT n]"),
    (several(text("text")), "text [text ...]"),
    (optional(several(text("text"))), "[text [text ...]]"),
    (several(text("message", "JSON")), "JSON message [message ...]"),
    (several(block("pair", text("role"), text("content"))), "role content [role content ...]"),
    (optional(block("budget", number("n", "TOKENS"), optional(number("m", "RESERVE")))), "[TOKENS n [RESERVE m]]"),
    (one_of("either", word("A"), word("B")), "<A | B>"),
    (optional(one_of("either", word("A"), word("B"))), "[A | B]"),
    (optional(one_of("either", word("A"), word("B"), token="FORMAT")), "[FORMAT <A | B>]"),
    (optional(several(one_of("either", word("A"), text("b")))), "[<A | b> [<A | b> ...]]"),
]


@pytest.mark.parametrize(("argument", "shown"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_notation(argument: Argument, shown: str) -> None:
    """Arguments read as in Redis's documentation."""
    assert notation(argument) == shown
