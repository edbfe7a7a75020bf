"""Stepping over whole requests, in Python and compiled: a table of (passed, rest), then both on the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.resp.wire import (
    PassWhole,
    compiled,
    pack,
    pack_in_python,
    pass_whole,
    pass_whole_in_python,
    whole_request,
    whole_request_in_python,
)

WATCHED = frozenset({b"MEMREAD", b"HELLO", b"SIXTEEN-LETTERS!", b"SEVENTEEN-LETTERS"})
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"

# Where there was no compiler there is one way.
WAYS: list[PassWhole] = [pass_whole_in_python, *([] if compiled is None else [compiled.pass_whole])]


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


MOST = 3
"""Words of a request."""


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECE, max_size=16).map(b"".join) | st.binary(max_size=40), st.integers(0, 20))
@example(GET + GET, len(GET))
@example(b"*4\r\n" + b"$0\r\n\r\n" * 4, 0)
def test_both_take_requests_apart_alike(data: bytes, position: int) -> None:
    """On any bytes and from any position the compiled function finds the request that the one in Python finds."""
    position = min(position, len(data))
    assert whole_request(data, position, MOST) == whole_request_in_python(data, position, MOST)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.binary(max_size=10))
def test_what_is_packed_is_found(words: list[bytes], rest: bytes) -> None:
    """A packed request is taken apart into its words, whatever follows it; one with more words than allowed is not."""
    packed = pack(tuple(words))
    assert whole_request(packed + rest, 0, len(words)) == (len(packed), words)
    assert whole_request(packed[:-1], 0, len(words)) is None
    assert whole_request(packed, 0, len(words) - 1) is None


WORDS = st.one_of(
    st.binary(max_size=40), st.text(st.characters(codec="utf-8"), max_size=40), st.integers(-(2**63), 2**63 - 1)
)


@given(st.lists(WORDS, min_size=1, max_size=30).map(tuple))
@example(("x" * 100_000, 0, -1, b"", ""))
def test_both_pack_alike(words: tuple[bytes | str | int, ...]) -> None:
    """Bytes, texts of any script and numbers are packed as the function in Python packs them."""
    assert pack(words) == pack_in_python(words)


@pytest.mark.parametrize("words", [("\ud800",), (2**63,), (None,), (1.5,), ["PING"], None])
def test_what_cannot_be_packed(words: object) -> None:
    """A lone surrogate, a number of more than 64 bits and any other type are refused, not sent as something else."""
    if compiled is not None:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            compiled.pack(words)


def test_compiled_is_used() -> None:
    """Where the compiled functions are there, they are the ones that run."""
    if compiled is None:
        assert (pass_whole, whole_request, pack) == (pass_whole_in_python, whole_request_in_python, pack_in_python)
    else:
        assert (pass_whole, whole_request, pack) == (compiled.pass_whole, compiled.whole_request, compiled.pack)


@pytest.mark.parametrize(
    "arguments", [(), (b"", 0), ("", 0, WATCHED), (b"", 1, WATCHED), (b"", -1, WATCHED), (b"", "", WATCHED)]
)
def test_wrong_arguments(arguments: tuple[object, ...]) -> None:
    """The compiled function raises on what it cannot work with; it never reads outside of the data."""
    if compiled is not None:
        for function in (compiled.pass_whole, compiled.whole_request):
            with pytest.raises((TypeError, ValueError)):
                function(*arguments)
