"""Counting one endless piece window by window: the same count, in time that grows with its length and no faster.

A piece is what the pattern of a vocabulary leaves uncut, and byte-pair encoding merges within it. Encoding a million
bytes at once takes five times as long per byte as encoding a few thousand. That windows may be joined rests on this:

    Whether two neighbouring tokens stay apart is decided by their own bytes alone. As long as nothing has been merged
    across their outer borders, the merges inside the two are the same, in the same order, whatever stands around them;
    and the first merge across any border of a sequence would have happened in the encoding of the two tokens beside it
    alone. So a sequence of tokens is the encoding of a piece if each two neighbours are neighbours in the encoding of
    *some* piece.

The next window begins where one of the last tokens of this window begins, and it is joined there only if its first
token is that same token: then every two neighbours stand side by side in one window. The counterpart is
`sidecar.tokens.blanks`, which finds the pieces; what is one piece is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable

WINDOW_CHARS = 32 * 1024
"""Characters that are encoded at once: about 3 ms, and the list of their tokens takes 0.3 ms under the GIL."""

OVERLAP_TOKENS = 64
"""Tokens at the end of a window that are encoded again with the next one. The end of a window changes the last few
tokens of what the whole piece has there; where it changed more, all is counted anew with windows of twice the size."""

_CONTINUES = range(0x80, 0xC0)  # bytes inside a character of UTF-8


def count_piece(
    piece: str,
    encode: Callable[[str], list[int]],
    token_bytes: Callable[[int], bytes],
    *,
    window: int = WINDOW_CHARS,
    overlap: int = OVERLAP_TOKENS,
) -> int:
    """Return the tokens of `piece`.

    Args:
        piece: a text of which every part is one piece of the pattern, such as a run of blanks.
        encode: returns the tokens of a part.
        token_bytes: returns the bytes of a token.
        window: characters to encode at once.
        overlap: tokens of each window that are encoded again.
    """
    counted = start = 0
    tokens = encode(piece[:window])
    while start + window < len(piece):
        kept, chars = _border(tokens, token_bytes, overlap)
        start += window - chars
        following = encode(piece[start : start + window])
        if not kept or following[0] != tokens[kept]:
            return count_piece(piece, encode, token_bytes, window=2 * window, overlap=overlap)
        counted += kept
        tokens = following
    return counted + len(tokens)


def _border(tokens: list[int], token_bytes: Callable[[int], bytes], overlap: int) -> tuple[int, int]:
    """Return how many tokens stand before the border to the next window, and how many characters behind it."""
    kept = max(len(tokens) - overlap, 0)
    tail = b"".join(map(token_bytes, tokens[kept:]))
    while kept and tail[0] in _CONTINUES:
        kept -= 1
        tail = token_bytes(tokens[kept]) + tail
    return kept, len(tail.decode())
