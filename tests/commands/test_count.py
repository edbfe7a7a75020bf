"""MEMCOUNT: which words are options and which are texts."""

from __future__ import annotations

import pytest

from sidecar.memory.requests import CountRequest
from tests.commands.asking import check_both, parse, refused

REQUESTS: list[tuple[tuple[str, ...], CountRequest]] = [
    (("a",), CountRequest(["a"])),
    (("a", "", "é"), CountRequest(["a", "", "é"])),
    (("DEFINITION", "chat", "a", "b"), CountRequest(["a", "b"], definition="chat")),
    (("model", "gpt-4", "a"), CountRequest(["a"], model="gpt-4")),
    (("MODEL", "MODEL", "MODEL"), CountRequest(["MODEL"], model="MODEL")),
    (("DEFINITION",), CountRequest(["DEFINITION"])),
    (("model",), CountRequest(["model"])),
    (("a", "MODEL", "gpt-4"), CountRequest(["a", "MODEL", "gpt-4"])),
]


@pytest.mark.parametrize(("arguments", "request_"), REQUESTS)
def test_requests(arguments: tuple[str, ...], request_: CountRequest) -> None:
    """An option stands first and has a name and a text after it; everything else is text."""
    assert parse("MEMCOUNT", *arguments) == request_


ERRORS: dict[tuple[str | bytes, ...], str] = {
    (): "ERR wrong number of arguments for 'memcount' command",
    ("DEFINITION", "chat"): "ERR MEMCOUNT DEFINITION name expects at least one text after the name",
    ("model", "gpt-4"): "ERR MEMCOUNT MODEL name expects at least one text after the name",
    ("MODEL", b"\xff", "a"): "BADMESSAGE the name is not UTF-8: byte 0xff at offset 0; send text as UTF-8",
    ("a", b"b\xff"): "BADMESSAGE text 2 is not UTF-8: byte 0xff at offset 1; send text as UTF-8",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors(arguments: tuple[str | bytes, ...]) -> None:
    """What is wrong with the arguments is said; texts are numbered."""
    assert refused("MEMCOUNT", *arguments) == ERRORS[arguments]


def test_reply() -> None:
    """The reply is one number for each text."""
    check_both("MEMCOUNT", [3, 0], [3, 0])
