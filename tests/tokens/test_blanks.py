"""Tests of `sidecar.tokens.blanks`."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.tokens.blanks import _AT_ONCE_CHARS, blank_runs
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding
from tests.tokens.texts import HOSTILE_TEXT

# What decides how a run of blanks is split: blanks, line ends, and everything that may stand around them.
BLANK_TEXT = st.lists(st.sampled_from([*"     \t\u3000\n\r", *"a1!/'\u0301\u3002", "'s"]), max_size=30).map("".join)


def whole(encoding: str, text: str) -> int:
    return len(load_encoding(encoding).encode(text, disallowed_special=()))


@pytest.mark.parametrize("more", [-1, 0, 1, 2 * _AT_ONCE_CHARS])
@pytest.mark.parametrize("before", ["", "a", "a \u3002", " " * 4 + "a" * 3])
def test_runs_longer_than_one_look(before: str, more: int) -> None:
    """A run is taken out whole where it is longer than what is looked at at once, wherever it begins."""
    run = "\t " * ((_AT_ONCE_CHARS + more) // 2)
    for limit in (5, 1000):
        parts = list(blank_runs(before + run + "b", last_is_split=True, limit=limit))
        assert parts == [*([(before, False)] if before else []), (run[:-1], True), (" b", False)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=1000, deadline=None)
@given(text=BLANK_TEXT | HOSTILE_TEXT, limit=st.integers(2, 5))
@example(text="!\n\n    a", limit=2)
@example(text="!!\u0301\n    ", limit=2)
@example(text="a  \n    \u0301", limit=2)
def test_blank_runs_add_up(encoding: str, text: str, limit: int) -> None:
    """Counting long runs of blanks on their own, as one piece each, changes no count."""
    tokens = load_encoding(encoding)
    parts = list(blank_runs(text, last_is_split=encoding == "o200k_base", limit=limit))
    assert "".join(part for part, _ in parts) == text
    counted = sum(
        len(tokens._encode_single_piece(part)) if one_piece else whole(encoding, part) for part, one_piece in parts
    )
    assert counted == whole(encoding, text)


@pytest.mark.parametrize(
    ("text", "last_is_split", "parts"),
    [
        ("", True, []),
        ("a   b", True, [("a   b", False)]),
        ("a    b", True, [("a", False), ("   ", True), (" b", False)]),
        ("\t\u3000\xa0    b", True, [("\t\u3000\xa0   ", True), (" b", False)]),
        ("a    \nb", True, [("a    \nb", False)]),
        ("a    ", True, [("a", False), ("    ", True)]),
        ("a    ", False, [("a    ", False)]),
    ],
)
def test_which_blank_runs_are_taken_out(text: str, last_is_split: bool, parts: list[tuple[str, bool]]) -> None:
    """A run of four blanks or more is taken out, less its last one, unless a line end follows."""
    assert list(blank_runs(text, last_is_split=last_is_split, limit=4)) == parts
