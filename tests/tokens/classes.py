"""Writes `sidecar/tokens/bpe/classes.h`: what each code point is to the patterns of the vocabularies.

    python -m tests.tokens.classes

The classes are tiktoken's own: it is asked with patterns that consist of one class. So the table has the Unicode of
the tiktoken that is installed, and is written anew when that moves on; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import tiktoken

HEADER = Path(__file__).resolve().parents[2] / "sidecar" / "tokens" / "bpe" / "classes.h"

# In the order of the enum in `bpe/characters.h`, where 0 is everything else.
PATTERNS = (r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"[^\S\r\n]", r"[\r\n]")

_PER_LINE = 8
_HEAD = """\
/* Made by `python -m tests.tokens.classes` from tiktoken's own classes, and compared with them by a test: the first
   code point of each run, and its class. Surrogates, which no text has, are as what stands before them. */
"""


def class_by_code_point() -> dict[int, int]:
    """Return the class of each code point that is no surrogate."""
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    text = "".join(map(chr, points))
    classes = dict.fromkeys(points, 0)
    for number, pattern in enumerate(PATTERNS, start=1):
        # What no piece matches is left out of the encoding, so what remains are the members of the class.
        probe = tiktoken.Encoding(
            "probe", pat_str=pattern, mergeable_ranks={bytes((n,)): n for n in range(256)}, special_tokens={}
        )
        classes |= dict.fromkeys(map(ord, probe.decode(probe.encode_ordinary(text))), number)
    return classes


def header() -> str:
    """Return the text of the file."""
    entries = [f"{{0x{first:04X}, {number}}}," for first, number in _runs(class_by_code_point())]
    lines = (" ".join(entries[n : n + _PER_LINE]) for n in range(0, len(entries), _PER_LINE))
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _runs(classes: dict[int, int]) -> Iterator[tuple[int, int]]:
    last = None
    for point, number in classes.items():
        if number != last:
            yield point, number
            last = number


if __name__ == "__main__":
    HEADER.write_text(header(), encoding="ascii")
