"""Redis's glob patterns, as in KEYS, in MEMLIST and in COMMAND LIST FILTERBY PATTERN.

Not `fnmatch`: there a set is negated by `!`, nothing can be escaped, and its regular expressions can take exponential
time.
"""

from __future__ import annotations

_STAR, _ANY, _OPEN, _CLOSE, _RANGE, _ESCAPE = b"*?[]-\\"


def matches(pattern: bytes, name: bytes, *, ignore_case: bool = True) -> bool:
    """Return whether `name` fits `pattern`.

    It takes at most the product of both lengths.

    Args:
        pattern, name: what is compared.
        ignore_case: upper and lower case are alike, as in names of commands; not so in keys.
    """
    if ignore_case:
        pattern, name = pattern.lower(), name.lower()
    reached = {0}  # how much of the name the pattern so far may stand for
    position = 0
    while position < len(pattern) and reached:
        if pattern[position] == _STAR:
            reached = set(range(min(reached), len(name) + 1))
            position += 1
        else:
            fitting, position = _one(pattern, position)
            reached = {at + 1 for at in reached if at < len(name) and name[at] in fitting}
    return len(name) in reached


def _one(pattern: bytes, position: int) -> tuple[frozenset[int], int]:
    """Return the bytes that one element of a pattern stands for, and where the next element begins."""
    if pattern[position] == _ANY:
        return _EVERY, position + 1
    if pattern[position] == _OPEN:
        return _listed(pattern, position + 1)
    if pattern[position] == _ESCAPE and position + 1 < len(pattern):
        position += 1
    return frozenset({pattern[position]}), position + 1


def _listed(pattern: bytes, position: int) -> tuple[frozenset[int], int]:
    """Read a set from behind its opening bracket; one that is not closed reaches to the pattern's end."""
    negated = pattern[position : position + 1] == b"^"
    position += negated
    listed: set[int] = set()
    while position < len(pattern) and pattern[position] != _CLOSE:
        if pattern[position] == _ESCAPE and position + 1 < len(pattern):
            listed.add(pattern[position + 1])
            position += 2
        elif position + 2 < len(pattern) and pattern[position + 1] == _RANGE:
            first, last = sorted((pattern[position], pattern[position + 2]))
            listed.update(range(first, last + 1))
            position += 3
        else:
            listed.add(pattern[position])
            position += 1
    return (_EVERY - listed if negated else frozenset(listed)), position + 1


_EVERY = frozenset(range(256))
