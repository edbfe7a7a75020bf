"""Counting with tiktoken: the definition of "exact", and the engine wherever gigatoken is not.

The counterpart is `sidecar.tokens.fast`. Special tokens in a text are plain text, as with
`tiktoken.Encoding.encode(text, disallowed_special=())`; but a lone surrogate, which tiktoken replaces in
silence, is an error here, because what is stored has to be what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.tokens.cuts import BLANK_RUN_CHARS, SLICE_CHARS, blank_runs, slices
from sidecar.tokens.problems import utf8
from sidecar.tokens.vocabulary import load_encoding

if TYPE_CHECKING:
    import tiktoken

# Whether the pattern backtracks over blanks at the end of a text too. That of cl100k_base matches them with
# `\s++$`.
_BACKTRACKS_AT_END = {"o200k_base": True, "cl100k_base": False}


class TiktokenCounter:
    """Exact token counts of one vocabulary, by tiktoken. Threads may share it; it releases the GIL.

    Args:
        encoding: name of a shipped vocabulary.
        fallback_reason: why this counts instead of gigatoken; None where tiktoken was what one wanted.

    Raises:
        UnknownEncoding, BrokenVocabulary: as `load_encoding`, which this calls.
    """

    engine = "tiktoken"

    def __init__(self, encoding: str, *, fallback_reason: str | None = None) -> None:
        self.encoding = encoding
        self.fallback_reason = fallback_reason
        self._tiktoken: tiktoken.Encoding = load_encoding(encoding)

    def count(self, text: str) -> int:
        """Return the tokens of `text`, special tokens taken as plain text.

        Raises:
            NotUnicode: the text holds a lone surrogate.
        """
        if not text.isascii():
            utf8(text)  # tiktoken itself would put U+FFFD for a lone surrogate
        if len(text) <= SLICE_CHARS:
            return len(self._tiktoken.encode_ordinary(text))
        # Slice by slice, because the list of tokens is made under the GIL: 40 ms at once for 1 MB.
        return sum(map(self._count_slice, slices(text)))

    def _count_slice(self, text: str) -> int:
        if len(text) < BLANK_RUN_CHARS:
            return len(self._tiktoken.encode_ordinary(text))
        at_end = _BACKTRACKS_AT_END[self.encoding]
        return sum(len(self._split(part, whole)) for part, whole in blank_runs(text, last_is_split=at_end))

    def _split(self, text: str, whole: bool) -> list[int]:
        if whole and _BACKTRACKS_AT_END[self.encoding]:
            # tiktoken has no public name for "this is one piece, do not apply the pattern". The only call here
            # that keeps the GIL, for 0.7 s per million blanks.
            return self._tiktoken._encode_single_piece(text)
        return self._tiktoken.encode_ordinary(text)
