"""Tests of `sidecar.tokens.selfcheck`."""

from __future__ import annotations

import pytest

from sidecar.tokens.selfcheck import CASES, first_difference
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_stored_counts_are_tiktokens(encoding: str) -> None:
    """Every stored count is what tiktoken counts, special tokens as text."""
    tokens = load_encoding(encoding)
    column = 1 + ENCODINGS.index(encoding)
    for case in CASES:
        assert len(tokens.encode(case[0], disallowed_special=())) == case[column], ascii(case[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_right_engine_passes(encoding: str) -> None:
    """An engine that counts like tiktoken has no difference."""
    tokens = load_encoding(encoding)
    assert first_difference(lambda text: len(tokens.encode_ordinary(text)), encoding) is None


@pytest.mark.parametrize("wrong", range(0, len(CASES), 5))
def test_one_wrong_count_is_found(wrong: int) -> None:
    """An engine that is off by one on a single text is found out, and the difference names it."""
    tokens = load_encoding("o200k_base")
    text, right, _ = CASES[wrong]
    found = first_difference(lambda t: len(tokens.encode_ordinary(t)) + (t == text), "o200k_base")
    assert found == f"{right + 1} instead of {right} tokens for {text[:40]!a}"


def test_an_engine_that_knows_special_tokens_is_found() -> None:
    """An engine that takes special tokens in a text for what they look like does not pass."""
    tokens = load_encoding("o200k_base")
    found = first_difference(lambda text: len(tokens.encode(text, allowed_special="all")), "o200k_base")
    assert found is not None
    assert "<|endoftext|>" in found


def test_the_vocabularies_are_told_apart() -> None:
    """An engine with the other vocabulary does not pass."""
    tokens = load_encoding("cl100k_base")
    assert first_difference(lambda text: len(tokens.encode_ordinary(text)), "o200k_base") is not None
