"""What a log calls a memory: its name often is a person's."""

from __future__ import annotations

from hashlib import sha256

DIGITS = 8
"""Hex digits of the hash: two of 10,000 memories share them with a probability of one in a hundred."""


def label(definition: str, instance: str) -> str:
    """Return `definition#digits`, with the first digits of the SHA-256 of `definition:instance`.

    A pseudonym: whoever knows or guesses a name can make its label, and compare.
    """
    return f"{definition}#{sha256(f'{definition}:{instance}'.encode()).hexdigest()[:DIGITS]}"
