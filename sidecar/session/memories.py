"""Which memories the unanswered commands of a connection are about, so that none overtakes another on the same one."""

from __future__ import annotations

from collections import Counter

from sidecar.session.actions import Ticket


class BusyMemories:
    """Counts the unanswered commands of each memory.

    Appends may pile up, because the store keeps their order; all others have their memory to themselves.
    """

    def __init__(self) -> None:
        self._unanswered: Counter[str] = Counter()
        self._exclusive: Counter[str] = Counter()  # those among them that nothing may overtake

    def admit(self, ticket: Ticket) -> bool:
        """Note that a command starts; False, and nothing noted, where it has to wait for another one."""
        unanswered, exclusive = self._unanswered, self._exclusive
        for memory in ticket.memories:
            if unanswered[memory] and not (ticket.queued and not exclusive[memory]):
                return False
        for memory in ticket.memories:
            unanswered[memory] += 1
            exclusive[memory] += not ticket.queued
        return True

    def release(self, ticket: Ticket) -> None:
        """Note that a command has ended."""
        for memory in ticket.memories:
            self._unanswered[memory] -= 1
            self._exclusive[memory] -= not ticket.queued
            if not self._unanswered[memory]:
                del self._unanswered[memory], self._exclusive[memory]
