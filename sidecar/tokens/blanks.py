"""Taking long runs of blanks out of a text, so that the counts of its parts add up to the count of the whole.

tiktoken cannot count them as they are: its patterns backtrack over them. Both vocabularies split a text into pieces by
a pattern and merge bytes within a piece only, so a cut between two pieces changes nothing. What proves that the cuts
here are such ones is the pattern in `sidecar.tokens.vocabulary`, and a test against uncut texts. How a run is counted
is not known here, but in `sidecar.tokens.endless`.
"""

from __future__ import annotations

from collections.abc import Iterator

BLANK_RUN_CHARS = 500_000
"""Runs of blanks from this length on are not given to tiktoken's pattern at once: from 999,999 on it panics
(measured; its backtracking stack holds a million entries), and half of that keeps clear of it."""

# Unicode's White_Space without the two line ends, which the patterns treat apart. Python's \s has four more.
_BLANKS = "\t\x0b\x0c \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_LINE_ENDS = "\r\n"

_AT_ONCE_CHARS = 1024 * 1024
"""Characters that are searched at once: 11 ms, during which the interpreter does nothing else."""


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
