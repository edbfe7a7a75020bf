"""The language of the sequences: what each line means, and that a wrong one is refused."""

from __future__ import annotations

import pytest

from tests.e2e.differential.script import (
    DRIPPED,
    INLINE,
    MULTIBULK,
    OPEN_RAW,
    RAW,
    Act,
    BadScript,
    Request,
    Send,
    Sequence,
    Wait,
    parse,
    words,
)


def one(text: str) -> Sequence:
    """Return the one sequence of `text`."""
    (sequence,) = parse("group", f"=== title\n{text}\n")
    return sequence


def test_every_kind_of_step() -> None:
    """A line becomes the step that the language says, with the replies that are promised."""
    assert one("a: SET k v").steps == [Send("a", (Request(MULTIBULK, (b"SET", b"k", b"v")),), 1)]
    assert one("a- GET k").steps == [Send("a", (Request(MULTIBULK, (b"GET", b"k")),), 0)]
    pipeline = (Request(MULTIBULK, (b"GET", b"k")), Request(INLINE, (b'PING "x"',)))
    assert one('a+ GET k\na| PING "x"').steps == [Send("a", pipeline, 2)]
    assert one("a/ PING").steps == [Send("a", (Request(DRIPPED, (b"PING",)),), 1)]
    assert one('a! "PI" "NG\\r\\n"').steps == [Send("a", (Request(RAW, (b"PI", b"NG\r\n")),), 0)]
    assert one('a~ "*1"').steps == [Send("a", (Request(OPEN_RAW, (b"*1",)),), 0)]
    assert one("a? 2\na. eof").steps == [Wait("a", 2), Act("a", "eof")]
    assert one("a: CLIENT ID -> id").steps == [Send("a", (Request(MULTIBULK, (b"CLIENT", b"ID")),), 1, "id")]


def test_declarations() -> None:
    """What stands after @ is about the whole sequence."""
    sequence = one("@since 7.0\n@quiet\n@atomic\n@users\n@only a b\n@rules idle\na: PING")
    assert (sequence.since, sequence.quiet, sequence.atomic, sequence.users) == ((7, 0), True, True, True)
    assert (sequence.only, sequence.rules, sequence.name) == (("a", "b"), ("idle",), "group: title")


WORDS = [
    ("SET  k v", (b"SET", b"k", b"v")),
    (r'"a b" "\x00\r\n\t\\\"" é', (b"a b", b'\x00\r\n\t\\"', "é".encode())),
    ('"" x', (b"", b"x")),
    ("%(ab*3)", (b"ababab",)),
    (r'"%(\x2a\r\n*2)"', (b"*\r\n*\r\n",)),
    ("{1,2} 'x'", (b"{1,2}", b"'x'")),
]


@pytest.mark.parametrize(("line", "expected"), WORDS)
def test_words(line: str, expected: tuple[bytes, ...]) -> None:
    """Words are split, unescaped and repeated as the language says."""
    assert words(line) == expected


WRONG = ["a SET k v", "a. jump", "a? some", "@nosuch", 'a: SET "k', "a+ MULTI", "a+ MULTI\nb: EXEC", "A: PING"]


@pytest.mark.parametrize("text", WRONG)
def test_a_line_that_says_nothing_is_refused(text: str) -> None:
    """A mistake in a sequence names its line, instead of testing less than it seems to."""
    with pytest.raises(BadScript, match=r"group\.seq"):
        one(text)


def test_a_line_before_the_first_title_is_refused() -> None:
    """Every step belongs to a sequence."""
    with pytest.raises(BadScript, match="line 2"):
        list(parse("group", "# comment\na: PING\n=== title\n"))
