"""Stepping over whole requests, in Python and compiled: a table of (passed, rest), then both on the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.resp.wire import PassWhole, pass_whole, compiled, pass_whole_in_python

WATCHED = frozenset({b"MEMREAD", b"HELLO", b"SIXTEEN-LETTERS!", b"SEVENTEEN-LETTERS"})
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"

# Where there was no compiler there is one way.
WAYS = [way for way in (pass_whole_in_python, compiled) if way is not None]


@pytest.fixture(params=WAYS, ids=lambda way: "python" if way is pass_whole_in_python else "compiled")
def way(request: pytest.FixtureRequest) -> PassWhole:
    found: PassWhole = request.param
    return found


CASES: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "one": (GET, b""),
    "several": (GET + PING + GET, b""),
    "a watched name": (b"", b"*1\r\n$7\r\nMEMREAD\r\n"),
    "in lower case": (GET, b"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n" + GET),
    "behind a name of the same length": (b"*1\r\n$5\r\nHELLP\r\n", b"*1\r\n$5\r\nHELLO\r\n"),
    "of sixteen letters": (b"", b"*1\r\n$16\r\nsixteen-letters!\r\n"),
    "longer than what is looked at": (b"*1\r\n$17\r\nSEVENTEEN-LETTERS\r\n", b""),
    "a watched value": (b"*2\r\n$3\r\nGET\r\n$7\r\nMEMREAD\r\n", b""),
    "an empty name": (b"*1\r\n$0\r\n\r\n", b""),
    "an empty argument": (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", b""),
    "any two bytes after a bulk": (b"*1\r\n$4\r\nPINGXX", b""),
    "a request as a value": (b"*2\r\n$3\r\nGET\r\n$%d\r\n" % len(PING) + PING + b"\r\n", b""),
    "one and a part": (GET, GET[:-1]),
    "a part": (b"", GET[:7]),
    "a part of a bulk's end": (b"", GET[:-1]),
    "inline": (GET, b"PING\r\n"),
    "no arguments": (b"", b"*0\r\n" + GET),
    "a negative count": (b"", b"*-1\r\n" + GET),
    "a null argument": (b"", b"*2\r\n$3\r\nGET\r\n$-1\r\n"),
    "a plus sign": (b"", b"*+1\r\n$4\r\nPING\r\n"),
    "a leading zero in the count": (b"", b"*01\r\n$4\r\nPING\r\n"),
    "a leading zero in a length": (b"", b"*1\r\n$04\r\nPING\r\n"),
    "two zeros": (b"", b"*1\r\n$00\r\n\r\n"),
    "a space": (b"", b"*1 \r\n$4\r\nPING\r\n"),
    "LF alone": (b"", b"*1\n$4\nPING\n"),
    "another type": (b"", b"*2\r\n$3\r\nGET\r\n+k\r\n"),
    "more arguments than there are": (b"", b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
    "a count of eleven digits": (b"", b"*10000000000\r\n$4\r\nPING\r\n"),
    "a length of nineteen digits": (b"", b"*1\r\n$9999999999999999999\r\nPING\r\n"),
    "a length that is 4 in 64 bits": (b"", b"*1\r\n$18446744073709551620\r\nPING\r\n"),
}


@pytest.mark.parametrize(("passed", "rest"), CASES.values(), ids=CASES)
def test_where_it_stops(way: PassWhole, passed: bytes, rest: bytes) -> None:
    """Whole requests are stepped over, up to the first that is watched, odd, or not whole, wherever it begins."""
    data = passed + rest
    assert way(data, 0, WATCHED) == len(passed)
    assert way(GET + data, len(GET), WATCHED) == len(GET + passed)
    assert way(PING + data, 0, WATCHED) == len(PING + passed)


PIECE = st.sampled_from(
    [
        GET,
        PING,
        b"*",
        b"$",
        b"\r\n",
        b"1",
        b"0",
        b"2",
        b"-",
        b"5",
        b"hello",
        b"GET",
        b"*1\r\n",
        b"$5\r\n",
        b"$0\r\n",
        b"\0",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECE, max_size=16).map(b"".join) | st.binary(max_size=40), st.integers(0, 20))
@example(b"*1\r\n$5\r\nhello\r\n", 0)
def test_both_agree(data: bytes, position: int) -> None:
    """On any bytes and from any position the compiled function says what the one in Python says."""
    position = min(position, len(data))
    assert {way(data, position, WATCHED) for way in WAYS} == {pass_whole_in_python(data, position, WATCHED)}


def test_compiled_is_used() -> None:
    """Where the compiled function is there, it is the one that runs."""
    assert pass_whole is WAYS[-1]


@pytest.mark.parametrize(
    "arguments", [(), (b"", 0), ("", 0, WATCHED), (b"", 1, WATCHED), (b"", -1, WATCHED), (b"", "", WATCHED)]
)
def test_wrong_arguments(arguments: tuple[object, ...]) -> None:
    """The compiled function raises on what it cannot work with; it never reads outside of the data."""
    for way in WAYS[1:]:
        with pytest.raises((TypeError, ValueError)):
            way(*arguments)  # type: ignore[arg-type]  # that is what is tested
