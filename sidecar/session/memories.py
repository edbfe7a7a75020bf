"""Which memories the unanswered commands of a connection are about, so that none overtakes another on the same one."""

from __future__ import annotations

from sidecar.session.actions import Ticket


class BusyMemories:
    """Counts the unanswered commands of each memory.

    Appends may pile up, because the store keeps their order; all others have their memory to themselves.
    """

    def __init__(self) -> None:
        self._unanswered: dict[str, int] = {}
        self._exclusive: set[str] = set()  # whose unanswered command nothing may overtake

    def admit(self, ticket: Ticket) -> bool:
        """Note that a command starts; False, and nothing noted, where it has to wait for another one."""
        unanswered, exclusive = self._unanswered, self._exclusive
        for memory in ticket.memories:
            if memory in unanswered and not (ticket.queued and memory not in exclusive):
                return False
        for memory in ticket.memories:
            unanswered[memory] = unanswered.get(memory, 0) + 1
            if not ticket.queued:
                exclusive.add(memory)
        return True

    def release(self, ticket: Ticket) -> None:
        """Note that a command has ended."""
        for memory in ticket.memories:
            left = self._unanswered[memory] - 1
            if left:
                self._unanswered[memory] = left
            else:
                del self._unanswered[memory]
                self._exclusive.discard(memory)
