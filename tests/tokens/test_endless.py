"""Tests of `sidecar.tokens.endless`."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.tokens.endless import OVERLAP_TOKENS, WINDOW_CHARS, count_piece
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import TEXTS

BLANKS = "\t\x0b\x0c \x85\xa0\u1680\u2003\u2028\u202f\u3000"

# What merges in few ways, in many ways, in long tokens, and across the bytes of characters.
ALPHABETS = ("a", "ab", "ea s", "the", "aeiounrst", " ", " \t", BLANKS, "-=", "\n ", "\u6f22\u5b57", "\U0001f600\u200d")
_OF_ONE_ALPHABET = st.sampled_from(ALPHABETS).flatmap(lambda alphabet: st.text(alphabet, min_size=1, max_size=400))
PIECES = _OF_ONE_ALPHABET | TEXTS.filter(bool)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=2000, deadline=None)
@given(piece=PIECES, window=st.integers(1, 40), overlap=st.integers(1, 8))
def test_windows_change_nothing(encoding: str, piece: str, window: int, overlap: int) -> None:
    """Whatever the piece, and however small the windows, the count is that of the piece encoded at once."""
    tokens = load_encoding(encoding)
    counted = count_piece(
        piece, tokens._encode_single_piece, tokens.decode_single_token_bytes, window=window, overlap=overlap
    )
    assert counted == len(tokens._encode_single_piece(piece))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("blank", [" ", "\t", "\u3000", " \t", "\t\t ", "   \xa0", "\u2003\u2028 "], ids=ascii)
def test_long_runs_of_blanks(encoding: str, blank: str) -> None:
    """Runs of all lengths around one to four windows, of one blank or a pattern of some, have tiktoken's count."""
    tokens = load_encoding(encoding)
    lengths = {windows * WINDOW_CHARS + more for windows in (1, 2, 4) for more in (-129, -1, 0, 1, 2, 63, 64, 127, 300)}
    for length in sorted(lengths):
        run = (blank * length)[:length]
        counted = count_piece(run, tokens.encode_ordinary, tokens.decode_single_token_bytes)
        assert counted == len(tokens._encode_single_piece(run)), length


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_disordered_blanks(encoding: str) -> None:
    """Runs of blanks in no order have tiktoken's count, which merges them in no order either."""
    tokens = load_encoding(encoding)
    random = Random(7)
    for _ in range(6):
        run = "".join(random.choices(random.sample(BLANKS, k=random.randint(2, 6)), k=random.randint(60_000, 150_000)))
        counted = count_piece(run, tokens.encode_ordinary, tokens.decode_single_token_bytes)
        assert counted == len(tokens._encode_single_piece(run))


def test_a_window_whose_end_reaches_too_far_back_is_doubled() -> None:
    """Where no border to the next window is proven, larger windows are taken, up to the whole piece."""
    seen: list[int] = []
    numbers = itertools.count()

    def encode(part: str) -> list[int]:
        seen.append(len(part))
        return [next(numbers) for _ in part]  # never the same token twice, so nothing can be joined

    assert count_piece("x" * 1000, encode, lambda _token: b"x", window=100) == 1000
    assert seen == [100, 100, 200, 200, 400, 400, 800, 264, 1000]


def test_only_the_overlap_is_encoded_twice() -> None:
    """Counting a long piece costs hardly more than encoding it once."""
    tokens = load_encoding("o200k_base")
    seen: list[int] = []

    def encode(part: str) -> list[int]:
        seen.append(len(part))
        return tokens.encode_ordinary(part)

    length = 12 * WINDOW_CHARS
    assert count_piece(" " * length, encode, tokens.decode_single_token_bytes) == length // 128
    assert max(seen) == WINDOW_CHARS
    assert sum(seen) <= length + (len(seen) + 1) * OVERLAP_TOKENS * 128
