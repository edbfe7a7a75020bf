"""Tests of `sidecar.tokens.reference`."""

from __future__ import annotations

import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings

from sidecar.tokens.blanks import BLANK_RUN_CHARS
from sidecar.tokens.problems import NotUnicode, UnknownEncoding
from sidecar.tokens.reference import LISTED_CHARS, TiktokenCounter
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import TEXTS

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
        "x" * LISTED_CHARS,
        "x" * (3 * LISTED_CHARS),
        "\u3002" * (2 * LISTED_CHARS),
        " \n\t" * LISTED_CHARS,
        "a" * LISTED_CHARS + " " * LISTED_CHARS + "b",
        " " * (BLANK_RUN_CHARS + 1) + "x",
        "x\n" + "\t" * (BLANK_RUN_CHARS + 7) + "\u00e9 y",
        "x\n" + "\t" * (BLANK_RUN_CHARS + 7),
        "a<|endoftext|> <|endofprompt|>" * 5000,
    ],
    ids=[
        "english",
        "japanese",
        "the longest with a list of tokens",
        "one word",
        "stops",
        "line ends",
        "word and blanks",
        "blanks",
        "tabs",
        "tabs at the end",
        "special tokens",
    ],
)
def test_large_texts(encoding: str, text: str) -> None:
    """A text of whose tokens no list is made, or with a run of blanks apart, has the count of the whole."""
    expected = len(load_encoding(encoding).encode(text, disallowed_special=()))
    assert TiktokenCounter(encoding).count(text) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "pieces",
    [
        [" " * MILLION],
        ["\t" * MILLION],
        [" " * (MILLION - 1), " x"],
        ["a", "\n", "\u3000" * (MILLION - 1), "\u3000", "\u3002\n"],
    ],
    ids=["spaces", "tabs", "spaces and a letter", "wide spaces among others"],
)
def test_a_million_blanks_are_counted(encoding: str, pieces: list[str]) -> None:
    """A run of blanks on which tiktoken's own pattern panics has the count of the pieces it would be cut into."""
    tokens = load_encoding(encoding)
    expected = sum(len(tokens._encode_single_piece(piece)) for piece in pieces)
    assert TiktokenCounter(encoding).count("".join(pieces)) == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_blanks_do_not_stop_other_threads(encoding: str) -> None:
    """While megabytes of blanks are counted, other threads go on: none waits for most of the time that it takes.

    A busy machine may keep this thread waiting, but not every time.
    """
    counter = TiktokenCounter(encoding)
    assert any(longest < took / 2 for longest, took in (_waited_for_blanks(counter) for _ in range(5)))


def _waited_for_blanks(counter: TiktokenCounter) -> tuple[float, float]:
    """Count in another thread; return the longest time that this one stood still, and the whole, in seconds."""
    ended = threading.Event()
    waited = 0.0
    with ThreadPoolExecutor(1) as pool:
        begun = last = time.perf_counter()
        counted = pool.submit(counter.count, " " * (3 * MILLION) + "x")
        counted.add_done_callback(lambda _: ended.set())
        while not ended.wait(0.001):
            now = time.perf_counter()
            waited, last = max(waited, now - last), now
        took = time.perf_counter() - begun
    assert counted.result() == 3 * MILLION // 128 + 2
    return max(waited, begun + took - last), took


def test_no_list_is_made_of_millions_of_tokens() -> None:
    """Counting takes no Python object per token, which would all be made without letting go of the interpreter."""
    text = "z" + "\u0310\u0353" * (MILLION // 2)
    counter = TiktokenCounter("o200k_base")
    tracemalloc.start()
    try:
        assert counter.count(text) == 2 * MILLION + 1
        assert tracemalloc.get_traced_memory()[1] < 4 * len(text.encode())
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "position"),
    [("\ud800", 0), ("a\udc00", 1), ("\ude00\ud83d", 0), ("x" * 2 * LISTED_CHARS + "\udfff", 2 * LISTED_CHARS)],
)
def test_lone_surrogates_are_refused(text: str, position: int) -> None:
    """A text with half of a surrogate pair has no tokens: an error that says where, not the count of another text."""
    with pytest.raises(NotUnicode, match=f"at character {position};"):
        TiktokenCounter("o200k_base").count(text)


def test_an_unknown_encoding_is_refused() -> None:
    """A counter for a vocabulary that is not shipped is an error."""
    with pytest.raises(UnknownEncoding):
        TiktokenCounter("gpt2")


def test_what_it_says_of_itself() -> None:
    """A counter names its vocabulary and engine."""
    counter = TiktokenCounter("cl100k_base")
    assert (counter.encoding, counter.engine) == ("cl100k_base", "tiktoken")
