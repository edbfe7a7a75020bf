"""Where a long text can be cut so that the counts of its parts add up to the count of the whole.

Both vocabularies split a text into pieces by a pattern and merge bytes within a piece only, so a cut
between two pieces changes nothing. The cuts here are positions that are between two pieces whatever stands
around them; what proves them is the pattern in `sidecar.tokens.vocabulary`, and a test against uncut texts.
Deliberately not a tokenizer: most boundaries are not found, only enough of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SLICE_CHARS = 64 * 1024
"""Shortest slice: an engine holds the interpreter for about a millisecond per slice of ordinary text."""

BLANK_RUN_CHARS = 500_000
"""Runs of blanks from this length on are not given to tiktoken's pattern at once: from 999,999 on it panics
(measured; its backtracking stack holds a million entries), and half of that keeps clear of it."""

# Letters and digits of the scripts that long texts are written in, each range without a gap. In both
# patterns the piece of a letter or digit goes on with letters, digits, marks, or an apostrophe, so it ends
# before any of the stops.
_WORD = (
    "0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"  # Latin
    "\u0391-\u03a1\u03a3-\u03a9\u03b1-\u03c9\u0410-\u044f"  # Greek, Cyrillic
    "\u05d0-\u05ea\u0621-\u063a\u0641-\u064a"  # Hebrew, Arabic
    "\u0905-\u0939\u0e01-\u0e30"  # Devanagari, Thai
    "\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"  # Kana, Han, Hangul
)
_STOP = " \r\n,.;:!?()\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
_END_OF_WORD = re.compile(f"[{_WORD}](?=[{_STOP}])")

# Unicode's White_Space without the two line ends, which the patterns treat apart. Python's \s has four more.
_BLANKS = "\t\x0b\x0c \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_LINE_ENDS = "\r\n"

_AT_ONCE_CHARS = 1024 * 1024
"""Characters that are searched at once: 11 ms, during which the interpreter does nothing else."""


def slices(text: str, size: int = SLICE_CHARS) -> Iterator[str]:
    """Yield `text` in parts whose counts add up to its own.

    A part has at least `size` characters, the last one excepted. It is much longer only where the text has
    no end of a word for that long, such as one endless word.
    """
    start = 0
    while len(text) - start > size:
        cut = _end_of_word(text, start + size - 1)
        if cut is None:
            break
        yield text[start:cut]
        start = cut
    yield text[start:]


def _end_of_word(text: str, start: int) -> int | None:
    """Return the first end of a word behind the character at `start`; None if there is none."""
    for position in range(start, len(text), _AT_ONCE_CHARS):
        # The stop behind the last character that is looked at has to be in sight.
        found = _END_OF_WORD.search(text, position, position + _AT_ONCE_CHARS + 1)
        if found is not None:
            return found.end()
    return None


def blank_runs(text: str, *, last_is_split: bool, limit: int = BLANK_RUN_CHARS) -> Iterator[tuple[str, bool]]:
    """Yield `text` in parts whose counts add up to its own, long runs of blanks on their own.

    Only the runs on which tiktoken's pattern backtracks are taken out: those that no line end follows. Such
    a run is one piece, less its last blank where something follows, because that one belongs to what
    follows.

    Args:
        last_is_split: whether a run at the end of the text is taken out too; false for a pattern that
            matches the end of the text without backtracking, and joins the run with line ends before it.
        limit: the shortest run to take out, in characters.

    Returns:
        Each part, and whether it is exactly one piece.
    """
    done = 0
    for start, end in _runs(text, limit):
        if end == len(text):
            if not last_is_split:
                continue
        elif text[end] in _LINE_ENDS:
            continue
        else:
            end -= 1
        if start > done:
            yield text[done:start], False
        yield text[start:end], True
        done = end
    if done < len(text):
        yield text[done:], False


def _runs(text: str, limit: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of blanks that has at least `limit` characters.

    Such a run covers a multiple of the limit, so only the characters there are looked at.
    """
    end = 0
    for position in range(0, len(text), limit):
        if position < end or text[position] not in _BLANKS:
            continue
        lowest = max(end, position - limit + 1)  # what begins before has been found already
        start = lowest + len(text[lowest:position].rstrip(_BLANKS))
        end = _end_of_run(text, position)
        if end - start >= limit:
            yield start, end


def _end_of_run(text: str, position: int) -> int:
    while part := text[position : position + _AT_ONCE_CHARS]:
        rest = part.lstrip(_BLANKS)
        position += len(part) - len(rest)
        if rest:
            break
    return position
