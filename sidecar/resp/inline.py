"""Splits an inline command (a line typed into a bare socket) into words, by the rules of Redis's `sdssplitargs`.

`"…"` knows the escapes \\n \\r \\t \\b \\a \\xHH; `'…'` knows only \\'. A closing quote must be followed by a space
or the end. These rules decide where a word ends, so they must be Redis's, not the shell's.
"""

from __future__ import annotations

_SPACES = b" \t\n\v\f\r"
_WORD_ENDS = b" \t\n\r"  # not \v and \f: Redis skips those between words, but they do not end an unquoted one
_ESCAPES = {0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09, 0x62: 0x08, 0x61: 0x07}
_HEX = b"0123456789abcdefABCDEF"


def split_inline(line: bytes) -> list[bytes] | None:
    """Return the words of a line, or None if its quotes are unbalanced (Redis's protocol error)."""
    words: list[bytes] = []
    position = 0
    while True:
        while position < len(line) and line[position] in _SPACES:
            position += 1
        if position >= len(line):
            return words
        found = _word(line, position)
        if found is None:
            return None
        word, position = found
        words.append(word)


def _word(line: bytes, position: int) -> tuple[bytes, int] | None:
    """Read one word, which may have quoted parts anywhere."""
    word = bytearray()
    while position < len(line) and line[position] not in _WORD_ENDS:
        byte = line[position]
        if byte not in b"\"'":
            word.append(byte)
            position += 1
            continue
        closing = _quoted(line, position + 1, byte, word)
        if closing is None or (closing < len(line) and line[closing] not in _SPACES):
            return None
        return bytes(word), closing
    return bytes(word), position


def _quoted(line: bytes, position: int, quote: int, word: bytearray) -> int | None:
    """Read up to the closing quote; return the position after it, or None if there is none."""
    while position < len(line):
        byte = line[position]
        if byte == quote:
            return position + 1
        if byte == 0x5C and position + 1 < len(line):
            taken = _escape(line, position, quote, word)
            if taken:
                position += taken
                continue
        word.append(byte)
        position += 1
    return None


def _escape(line: bytes, position: int, quote: int, word: bytearray) -> int:
    """Read the escape at `position`; return its length, or 0 if the backslash is an ordinary byte."""
    following = line[position + 1]
    if quote == 0x27:
        if following != 0x27:
            return 0
        word.append(0x27)
        return 2
    digits = line[position + 2 : position + 4]
    if following == 0x78 and len(digits) == 2 and all(digit in _HEX for digit in digits):
        word.append(int(digits, 16))
        return 4
    word.append(_ESCAPES.get(following, following))
    return 2
