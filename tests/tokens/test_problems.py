"""Tests of `sidecar.tokens.problems`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.errors import MemsidecarError
from sidecar.tokens.problems import (
    BrokenVocabulary,
    NativeUnavailable,
    NotUnicode,
    UnknownEncoding,
    UnknownModel,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            UnknownModel("m", ("a", "b")),
            "no vocabulary is known for the model 'm'; set `encoding:` to one of a, b",
        ),
        (UnknownEncoding("e", ("a", "b")), "no vocabulary 'e' is shipped; set `encoding:` to one of a, b"),
        (
            NotUnicode(7, 0xD800),
            "the text is no valid Unicode: lone surrogate U+D800 at character 7;"
            " send the whole pair or replace it with U+FFFD",
        ),
        (BrokenVocabulary(Path("v/x"), "is odd"), "the vocabulary file v/x is odd; reinstall memsidecar"),
        (
            NativeUnavailable("it was not compiled", compiled=False),
            "the token engine native cannot be used: it was not compiled;"
            " install memsidecar anew where there is a C compiler with Python's headers,"
            " or set MEMSIDECAR_TOKEN_ENGINE to auto or tiktoken",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_texts(error: MemsidecarError, text: str) -> None:
    """Each error says what was wrong and what to do."""
    assert str(error) == text


@pytest.mark.parametrize("error", [UnknownModel, UnknownEncoding, NotUnicode, BrokenVocabulary])
def test_bad_values_are_value_errors(error: type[Exception]) -> None:
    """What is wrong with a text, a name or a file is a ValueError too."""
    assert issubclass(error, ValueError)
    assert issubclass(error, MemsidecarError)
