"""What all clients together may hold of requests that are unfinished or wait: beyond it, who holds most has to go.

Each client has limits of its own, but ten thousand of them could each begin a request of megabytes and stop there. The
counterpart is `net.connection`, which reports what its client holds and disconnects it. No clock, no socket, no queue:
requests are not held back for others, because whoever has begun one could then wait for ever.
"""

from __future__ import annotations

from typing import Protocol

MAX_HELD_BYTES = 256 * 1024 * 1024
"""Eight requests of the greatest size at a time, or 25 kB for each of ten thousand clients. A usual request comes in
one piece and is not held longer than it takes."""


class Holder(Protocol):
    """A client that holds bytes; `net.connection.ClientConnection` is one. Holders are told apart by identity."""

    def over_budget(self, held_bytes: int, all_held_bytes: int) -> None:
        """Disconnect: of all clients, which hold `all_held_bytes`, this one holds most, `held_bytes`."""


class HeldBudget:
    """Who holds how much.

    Args:
        limit_bytes: for all together. A client may pass it, within its own limits, while no other one holds anything.
    """

    def __init__(self, limit_bytes: int = MAX_HELD_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[Holder, int] = {}
        self.held_bytes = 0

    def report(self, holder: Holder, held_bytes: int) -> None:
        """Note that a client now holds this much; 0 forgets it.

        Costs the same however many clients there are. Only once the limit is passed, the greatest is looked for, and
        told before this returns.
        """
        self.held_bytes += held_bytes - self._held.pop(holder, 0)
        if not held_bytes:
            return
        self._held[holder] = held_bytes
        if self.held_bytes > self._limit_bytes and len(self._held) > 1:
            # One is enough: what has come on top is no more than what this one holds, let alone the greatest.
            greatest = max(self._held, key=self._held.__getitem__)
            all_held = self.held_bytes
            # Forgotten at once: what it still holds is freed with its connection, and must not cost a second client.
            most = self._held.pop(greatest)
            self.held_bytes -= most
            greatest.over_budget(most, all_held)
