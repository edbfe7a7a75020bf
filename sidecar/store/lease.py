"""Under what a flush, or its undo, writes: its lease on the memory, and the keys where its work waits."""

from __future__ import annotations

from typing import NamedTuple

from sidecar.memory.keys import MemoryKeys

LEASE_MS = 60_000
"""A run without a sign of life is overtaken after this long: well above any pause of a live process."""

WORK_TTL_MS = 15 * 60_000
"""How long a staged plan outlives its last sign of life: well above any lease, and gone the same day."""


class Lease(NamedTuple):
    """Under what a run writes: the memory, and what the scripts compare before they let it."""

    definition: str
    instance: str
    run_id: str
    epoch: str
    fence: int
    lease_ms: int = LEASE_MS

    @property
    def proof(self) -> tuple[str, str, int]:
        """The first three arguments of every script that checks the fence."""
        return self.run_id, self.epoch, self.fence


def work_keys(keys: MemoryKeys) -> list[str]:
    """`KEYS` of the scripts that work beside the memory: meta, and what a run lays aside."""
    return [keys.meta, keys.work, keys.aside, keys.brief, keys.next]
