"""Keeps unsolicited replies whole while MEM commands run.

When everything forwarded has been answered, bytes from Redis can only be pushes: messages of subscriptions,
invalidations, lines of MONITOR. One of them may arrive in two pieces, and a MEM reply written between the pieces would
tear it apart. So in that state pieces wait until they are whole. Where an item ends is the business of `scan`.
"""

from __future__ import annotations

from sidecar.resp.scan import step


class PushBoundary:
    """Passes whole replies on and holds the rest. Starts at a reply's beginning."""

    def __init__(self) -> None:
        self._held = bytearray()  # a message may be hundreds of megabytes and come in thousands of pieces
        self._position = 0  # how far `_held` was understood
        self._open = 0  # items that the current reply still lacks

    def receive(self, data: bytes) -> bytes:
        """Return the bytes up to the last reply's end, b"" while there is none."""
        self._held += data
        end = 0
        while self._step():
            if self._open == 0:
                end = self._position
        whole = bytes(self._held[:end])
        del self._held[:end]
        self._position -= end
        return whole

    def release(self) -> bytes:
        """Return what is held and start anew: from here on, other replies come too and nothing is torn apart."""
        held = bytes(self._held)
        self._held.clear()
        self._position = self._open = 0
        return held

    def _step(self) -> bool:
        """Step over one item; False if it is not whole yet."""
        stepped = step(self._held, self._position)
        if stepped is None:
            return False
        self._position, items = stepped
        self._open = max(self._open - 1, 0) + items
        return True
