"""Counting with tiktoken: the definition of "exact", and the engine wherever our own C was not compiled.

The counterpart is `sidecar.tokens.native`. Special tokens in a text are plain text, as with
`tiktoken.Encoding.encode(text, disallowed_special=())`; but a lone surrogate, which tiktoken replaces in
silence, is an error here, because what is stored has to be what was counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.tokens.blanks import blank_runs
from sidecar.tokens.endless import count_piece
from sidecar.tokens.problems import NotUnicode
from sidecar.tokens.vocabulary import load_encoding

if TYPE_CHECKING:
    import tiktoken

LISTED_CHARS = 64 * 1024
"""Longest text of whose tokens a list is made. That is the quicker way for short texts; but the list of a longer one
would hold the interpreter for more than a millisecond, and for 0.2 s if it has eight million tokens."""

# Whether the pattern backtracks over blanks at the end of a text too. That of cl100k_base matches them with
# `\s++$`.
_BACKTRACKS_AT_END = {"o200k_base": True, "cl100k_base": False}

_NOTHING_SPECIAL: frozenset[str] = frozenset()
_TOKEN_BYTES = 4  # of tiktoken's buffers, which hold 32-bit numbers


class TiktokenCounter:
    """Exact token counts of one vocabulary, by tiktoken. Threads may share it; it releases the GIL.

    Args:
        encoding: name of a shipped vocabulary.

    Raises:
        UnknownEncoding, BrokenVocabulary: as `load_encoding`, which this calls.
    """

    engine = "tiktoken"

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._tiktoken: tiktoken.Encoding = load_encoding(encoding)

    def count(self, text: str) -> int:
        """Return the tokens of `text`, special tokens taken as plain text.

        Raises:
            NotUnicode: the text holds a lone surrogate.
        """
        if not text.isascii():
            try:
                text.encode()  # tiktoken itself would put U+FFFD for a lone surrogate
            except UnicodeEncodeError as exc:
                raise NotUnicode(exc.start, ord(text[exc.start])) from exc
        if len(text) <= LISTED_CHARS:
            return len(self._tiktoken.encode_ordinary(text))
        at_end = _BACKTRACKS_AT_END[self.encoding]
        return sum(
            self._count_blanks(part) if one_piece else self._count_at_once(part)
            for part, one_piece in blank_runs(text, last_is_split=at_end)
        )

    def _count_at_once(self, text: str) -> int:
        # What `Encoding.encode_to_numpy` makes an array of, without numpy; the GIL is free while it is made.
        buffer = memoryview(self._tiktoken._core_bpe.encode_to_tiktoken_buffer(text, _NOTHING_SPECIAL))
        return buffer.nbytes // _TOKEN_BYTES

    def _count_blanks(self, text: str) -> int:
        """Count a run of blanks that is one piece; any part of it is one as well, and short enough for the pattern."""
        return count_piece(text, self._tiktoken.encode_ordinary, self._tiktoken.decode_single_token_bytes)
