"""Tests of `sidecar.tokens.unicode_gap`."""

from __future__ import annotations

import sys

import pytest

from sidecar.tokens.unicode_gap import GAP, in_gap
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import gigatoken_alone

# In each the class of the code point (upper case, lower case, other letter, mark, digit, blank, other) decides where
# the pieces begin.
AROUND = ("a{}'s", "A{}b 1{}2", " {} {}x\n")
CHUNK = 4096

ASSIGNED_PLANES = (0, 1, 2, 3, 14)
"""Those that Unicode has put anything into, in any version: the others are of one class in all engines, so there each
code point is tried in one of the places only, in turn."""

GAP_POINTS = {point for first, last in GAP for point in range(first, last + 1)}


def scalar_values() -> list[int]:
    return [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_outside_the_gap_the_engines_agree_on_every_code_point(encoding: str) -> None:
    """Every code point that is not listed gives the same tokens with both engines, among letters, digits and blanks."""
    exact, fast = load_encoding(encoding).encode_ordinary, gigatoken_alone(encoding)
    points = [point for point in scalar_values() if point not in GAP_POINTS]
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        for place, around in enumerate(AROUND):
            tried = [point for point in chunk if point >> 16 in ASSIGNED_PLANES or point % len(AROUND) == place]
            texts = [around.replace("{}", chr(point)) for point in tried]
            text = "\n".join(texts)
            if exact(text) != fast(text):
                pytest.fail(f"they differ on {[ascii(text) for text in texts if exact(text) != fast(text)]}")


def test_every_listed_range_is_needed() -> None:
    """For each listed range there is a vocabulary by which the engines disagree on its first and last code point."""
    engines = [(load_encoding(name).encode_ordinary, gigatoken_alone(name)) for name in ENCODINGS]
    for point in {point for pair in GAP for point in pair}:
        text = f"a{chr(point)}'s"
        assert any(exact(text) != fast(text) for exact, fast in engines), f"U+{point:04X} need not be listed"


def test_in_gap_is_exactly_the_list() -> None:
    """`in_gap` is true of the listed code points and of no other."""
    assert {point for point in scalar_values() if in_gap(chr(point))} == GAP_POINTS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("plain", False),
        ("\U0001f600 \U00020000 \U0001d400 \U00012000", False),
        ("\U00012000 then \U00010940", True),
        ("x" * 1000 + "\u088f", True),
    ],
)
def test_in_gap_of_texts(text: str, found: bool) -> None:
    """One listed code point anywhere is found, also behind others that only resemble one."""
    assert in_gap(text) is found
