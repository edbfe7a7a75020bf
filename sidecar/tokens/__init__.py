"""Exact token counts, offline.

`counter` chooses among three engines with the same counts: `native` (our own C, `_bpe.c`), `fast` (gigatoken) and
`exact` (tiktoken, the definition). `vocabulary` and `models` say what is counted by, `cuts` how long texts are taken
apart, `selfcheck` when a fast engine must not be trusted, `unicode_gap` and `growth` when gigatoken must not. Nothing
else in the package imports tiktoken or gigatoken.
"""

from __future__ import annotations

from sidecar.tokens.counter import Counter, Engine, load_counter
from sidecar.tokens.models import encoding_for_model
from sidecar.tokens.problems import (
    BrokenVocabulary,
    FastEngineUnavailable,
    NotUnicode,
    UnknownEncoding,
    UnknownModel,
)
from sidecar.tokens.vocabulary import ENCODINGS

__all__ = [
    "ENCODINGS",
    "BrokenVocabulary",
    "Counter",
    "Engine",
    "FastEngineUnavailable",
    "NotUnicode",
    "UnknownEncoding",
    "UnknownModel",
    "encoding_for_model",
    "load_counter",
]
