"""The answer to a COMMAND, kept until it is whole: our commands are put into it then, by `commands.merging`."""

from __future__ import annotations

MAX_DESCRIPTION_BYTES = 8 * 1024 * 1024
"""Longest answer to COMMAND that our commands are put into; Redis's own has 0.3 MB."""


class Description:
    """One COMMAND that was forwarded, and what has come of its answer."""

    def __init__(self, words: list[bytes]) -> None:
        self.words = words
        self.answer = bytearray()

    def too_long(self, data: bytes) -> bool:
        """Keep more of the answer; True, and nothing kept, where it passes `MAX_DESCRIPTION_BYTES`."""
        if len(self.answer) + len(data) > MAX_DESCRIPTION_BYTES:
            return True
        self.answer += data
        return False
