"""Counting with tiktoken: the definition of "exact", and the engine wherever gigatoken is not.

The counterpart is `sidecar.tokens.fast`. Special tokens in a text are plain text, as with
`tiktoken.Encoding.encode(text, disallowed_special=())`; but a lone surrogate, which tiktoken replaces in
silence, is an error here, because what is stored has to be what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.tokens.cuts import BLANK_RUN_CHARS, SLICE_CHARS, blank_runs, slices
from sidecar.tokens.endless import count_piece
from sidecar.tokens.problems import utf8
from sidecar.tokens.vocabulary import load_encoding

if TYPE_CHECKING:
    import tiktoken

# Whether the pattern backtracks over blanks at the end of a text too. That of cl100k_base matches them with
# `\s++$`.
_BACKTRACKS_AT_END = {"o200k_base": True, "cl100k_base": False}

_NOTHING_SPECIAL: frozenset[str] = frozenset()
_TOKEN_BYTES = 4  # of tiktoken's buffers, which hold 32-bit numbers


class TiktokenCounter:
    """Exact token counts of one vocabulary, by tiktoken. Threads may share it; it releases the GIL.

    Args:
        encoding: name of a shipped vocabulary.
        fallback_reason: why this counts instead of a faster engine; None where tiktoken was what one wanted.

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
        return sum(map(self._count_slice, slices(text)))

    def _count_slice(self, text: str) -> int:
        if len(text) < BLANK_RUN_CHARS:
            return self._count_at_once(text)
        at_end = _BACKTRACKS_AT_END[self.encoding]
        return sum(
            self._count_blanks(part) if one_piece else self._count_at_once(part)
            for part, one_piece in blank_runs(text, last_is_split=at_end)
        )

    def _count_at_once(self, text: str) -> int:
        # A list of tokens would be made under the GIL: 0.2 s for eight million of them, which is one text of 8 MB. What
        # `Encoding.encode_to_numpy` makes an array of takes none of it, and needs no numpy.
        buffer = memoryview(self._tiktoken._core_bpe.encode_to_tiktoken_buffer(text, _NOTHING_SPECIAL))
        return buffer.nbytes // _TOKEN_BYTES

    def _count_blanks(self, text: str) -> int:
        """Count a run of blanks that is one piece; any part of it is one as well, and short enough for the pattern."""
        return count_piece(text, self._tiktoken.encode_ordinary, self._tiktoken.decode_single_token_bytes)
