"""Counting with our own C: the same counts, from a vocabulary that takes 5 MB and is loaded in 30 ms.

The counterpart is `_bpe.c`, which was compiled when memsidecar was installed, if there was a C compiler. gigatoken
takes 70 MB for the same (50 for its tables, 20 for itself and numpy) and is loaded in half a second. Whether the counts
are those of tiktoken is not decided here but in `sidecar.tokens.selfcheck`, before the first use, and by the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from sidecar.tokens.problems import FastEngineUnavailable, NotUnicode
from sidecar.tokens.vocabulary import VOCABULARY_DIRECTORY, vocabulary


class NativeCounter:
    """Exact token counts of one vocabulary, by our own C. Threads may share it; from 64 KiB on it releases the GIL.

    Args:
        encoding: name of a shipped vocabulary.
        directory: where the vocabulary files lie.

    Raises:
        UnknownEncoding, BrokenVocabulary: as `Vocabulary.read`.
        FastEngineUnavailable: it was not compiled.
    """

    engine = "native"

    def __init__(self, encoding: str, *, directory: Path = VOCABULARY_DIRECTORY) -> None:
        self.encoding = encoding
        self.fallback_reason: str | None = None
        definition = vocabulary(encoding)
        try:
            compiled = import_module("sidecar.tokens._bpe")
        except ImportError as exc:
            raise FastEngineUnavailable("native", f"it was not compiled ({exc})", installed=False) from exc
        self._count: Callable[[str], int] = compiled.Vocabulary(definition.read(directory), definition.name).count

    def count(self, text: str) -> int:
        """Return the tokens of `text`, special tokens taken as plain text.

        Raises:
            NotUnicode: the text holds a lone surrogate.
        """
        try:
            return self._count(text)
        except UnicodeEncodeError as exc:
            raise NotUnicode(exc.start, ord(text[exc.start])) from exc
