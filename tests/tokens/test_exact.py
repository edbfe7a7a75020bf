"""Tests of `sidecar.tokens.exact`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sidecar.tokens.cuts import BLANK_RUN_CHARS, SLICE_CHARS
from sidecar.tokens.exact import TiktokenCounter
from sidecar.tokens.problems import NotUnicode, UnknownEncoding
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import TEXTS, gigatoken_alone

MILLION = 1_000_000


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_it_counts_what_tiktoken_encodes(encoding: str, text: str) -> None:
    """The count of any text is the length of its encoding by tiktoken."""
    expected = len(load_encoding(encoding).encode(text, disallowed_special=()))
    assert TiktokenCounter(encoding).count(text) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox, it's said, jumps. " * 5000,
        "\u4eca\u65e5\u306f\u6674\u308c\u3002" * 30_000,
        "x" * (3 * SLICE_CHARS),
        "\u3002" * (2 * SLICE_CHARS),
        " \n\t" * SLICE_CHARS,
        "a" * SLICE_CHARS + " " * SLICE_CHARS + "b",
        " " * (BLANK_RUN_CHARS + 1) + "x",
        "x\n" + "\t" * (BLANK_RUN_CHARS + 7) + "\u00e9 y",
        "x\n" + "\t" * (BLANK_RUN_CHARS + 7),
    ],
    ids=[
        "english",
        "japanese",
        "one word",
        "stops",
        "line ends",
        "word and blanks",
        "blanks",
        "tabs",
        "tabs at the end",
    ],
)
def test_large_texts(encoding: str, text: str) -> None:
    """A text that is counted in slices, or with a run of blanks apart, has the count of the whole."""
    expected = len(load_encoding(encoding).encode(text, disallowed_special=()))
    assert TiktokenCounter(encoding).count(text) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "text",
    [" " * MILLION, "\t" * MILLION, " " * MILLION + "x", "a\n" + "\u3000" * MILLION + "\u3002\n"],
    ids=["spaces", "tabs", "spaces and a letter", "wide spaces among others"],
)
def test_a_million_blanks_are_counted(encoding: str, text: str) -> None:
    """A run of blanks on which tiktoken's own encode panics has the count that gigatoken finds."""
    assert TiktokenCounter(encoding).count(text) == len(gigatoken_alone(encoding)(text))


@pytest.mark.parametrize("text", ["\ud800", "a\udc00", "\ude00\ud83d", "x" * 2 * SLICE_CHARS + "\udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    """A text with half of a surrogate pair has no tokens: an error, not the count of another text."""
    with pytest.raises(NotUnicode):
        TiktokenCounter("o200k_base").count(text)


def test_an_unknown_encoding_is_refused() -> None:
    """A counter for a vocabulary that is not shipped is an error."""
    with pytest.raises(UnknownEncoding):
        TiktokenCounter("gpt2")


def test_what_it_says_of_itself() -> None:
    """A counter names its vocabulary and engine, and gives a reason only if it stands in for the other."""
    counter = TiktokenCounter("cl100k_base")
    assert (counter.encoding, counter.engine, counter.fallback_reason) == ("cl100k_base", "tiktoken", None)
    assert TiktokenCounter("cl100k_base", fallback_reason="because").fallback_reason == "because"
