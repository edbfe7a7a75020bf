"""The cursor over a command's arguments, and what it says about those that are wrong."""

from __future__ import annotations

import pytest

from sidecar.commands.arguments import MAX_INTEGER, Arguments, shown, text
from sidecar.errors import BadMessage, SyntaxProblem


def test_the_cursor() -> None:
    """Arguments come one by one, options in upper case, until there are none; then what is missing is named."""
    arguments = Arguments("MEMX", [b"Key", b"opt", b"7", b"1-2"])
    assert (arguments.next("a key"), arguments.option()) == (b"Key", b"OPT")
    assert (arguments.integer("OPT"), arguments.stream_id("SINCE")) == (7, "1-2")
    assert not arguments
    for take, what in (
        (lambda: arguments.next("a key"), "a key"),
        (lambda: arguments.integer("OPT"), "a number after OPT"),
        (lambda: arguments.stream_id("SINCE"), "a message id after SINCE"),
    ):
        with pytest.raises(SyntaxProblem) as problem:
            take()
        assert str(problem.value) == f"MEMX expects {what} at the end of its arguments"


@pytest.mark.parametrize("item", ["0", "1", "007", str(MAX_INTEGER)])
def test_integers(item: str) -> None:
    """Whole numbers from 0 to 2^53, the largest that Lua holds exactly."""
    assert Arguments("MEMX", [item.encode()]).integer("N") == int(item)


BAD_INTEGERS = ["", "-1", "+1", "1.0", "1e3", " 1", "1\n", "0x1", "ten", str(MAX_INTEGER + 1), "9" * 5000, "\u0661"]


@pytest.mark.parametrize("item", BAD_INTEGERS)
def test_bad_integers(item: str) -> None:
    """Anything else is an error that shows it."""
    with pytest.raises(SyntaxProblem) as problem:
        Arguments("MEMX", [item.encode()]).integer("N")
    assert str(problem.value) == f"N takes a whole number from 0 to 2^53, not '{shown(item.encode())}'"


def test_the_least_integer() -> None:
    """An option may ask for more than 0."""
    assert Arguments("MEMX", [b"2"]).integer("N", least=2) == 2
    with pytest.raises(SyntaxProblem, match=r"^N takes a whole number from 2 to 2\^53, not '1'$"):
        Arguments("MEMX", [b"1"]).integer("N", least=2)


@pytest.mark.parametrize("item", ["0", "1732312345678", "1732312345678-0", "1-18446744073709551615"])
def test_message_ids(item: str) -> None:
    """Message ids are stream ids, with their second part or without."""
    assert Arguments("MEMX", [item.encode()]).stream_id("SINCE") == item


@pytest.mark.parametrize("item", ["", "-", "+", "$", "1-", "-1", "1-2-3", "a", "1-*", "1" * 21])
def test_bad_message_ids(item: str) -> None:
    """Anything else is an error with an example."""
    with pytest.raises(SyntaxProblem) as problem:
        Arguments("MEMX", [item.encode()]).stream_id("SINCE")
    assert str(problem.value) == f"SINCE takes a message id such as 1732312345678-0, not '{item}'"


def test_text() -> None:
    """Text is UTF-8; where it is not, the first wrong byte is named."""
    assert text("é🦊\n".encode(), "the name") == "é🦊\n"
    for item, wrong in (
        (b"ab\xff", "0xff at offset 2"),
        (b"\xe9", "0xe9 at offset 0"),
        (b"\xed\xa0\x80", "0xed at offset 0"),
    ):
        with pytest.raises(BadMessage) as problem:
            text(item, "the name")
        assert str(problem.value) == f"the name is not UTF-8: byte {wrong}; send text as UTF-8"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"plain", "plain"),
        (b"a\r\nb\x00\x1b", "a??b??"),
        ("é".encode(), "é"),
        (b"\xff", "\ufffd"),
        (b"x" * 99, "x" * 64),
    ],
)
def test_shown(item: bytes, expected: str) -> None:
    """What an error repeats is short and printable."""
    assert shown(item) == expected
