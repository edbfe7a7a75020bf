"""How long leases and waits for them may be."""

from __future__ import annotations

import asyncio

from tests.e2e.agents import as_map
from tests.e2e.definitions.effects import shows
from tests.e2e.definitions.talking import Talk
from tests.support.waiting import eventually

DEFINITIONS = """
definitions:
  - {id: leased, locking: {min_lease: 2s, max_lease: 1h}}
  - {id: lease-limits, locking: {max_lease: 5s}}
  - {id: patient, locking: {wait: 1m}}
  - {id: impatient, locking: {wait: 0}}
  - {id: short-waits, locking: {max_wait: 1s}}
"""


@shows("locking.min_lease")
async def test_min_lease(talk: Talk) -> None:
    """MEMLOCK refuses a shorter lease."""
    refusal = await talk.refused("MEMLOCK", "leased:min", "1999")
    assert refusal.startswith("ttl-ms must be 2000 to 3600000 for 'leased', not 1999")
    assert (await talk.map("MEMLOCK", "leased:min", "2000"))["ttl-ms"] == 2_000


@shows("locking.max_lease")
async def test_max_lease(talk: Talk) -> None:
    """MEMLOCK refuses a longer lease, and to extend one by more."""
    refusal = await talk.refused("MEMLOCK", "lease-limits:max", "5001")
    assert refusal.startswith("ttl-ms must be 100 to 5000 for 'lease-limits', not 5001")
    assert (await talk.map("MEMLOCK", "lease-limits:max", "5000"))["ttl-ms"] == 5_000


@shows("locking.wait")
async def test_wait(talk: Talk) -> None:
    """A change waits so long for somebody else's lease to end, with 0 not at all."""
    tokens = [(await talk.map("MEMLOCK", f"{name}:wait", "60000"))["token"] for name in ("patient", "impatient")]
    refusal = await talk.refused("MEMAPPEND", "impatient:wait", "user", "hello")
    assert refusal.startswith("LOCKED somebody else holds the lock")
    assert "within 0 ms" in refusal

    waiting = asyncio.create_task(talk.say("patient:wait", "hello"))

    async def stands() -> bool:
        return bool(as_map((await talk.map("MEMHEALTH"))["locks"])["waiting"] == 1)

    await eventually(stands, why="the append does not wait")
    assert not waiting.done()
    await talk.ask("MEMUNLOCK", "patient:wait", tokens[0])
    assert (await waiting)["appended"] == 1


@shows("locking.max_wait")
async def test_max_wait(talk: Talk) -> None:
    """MEMLOCK refuses a longer WAIT."""
    refusal = await talk.refused("MEMLOCK", "short-waits:one", "1000", "WAIT", "1001")
    assert refusal.startswith("WAIT must be at most 1000 for 'short-waits', not 1001")
    assert (await talk.map("MEMLOCK", "short-waits:one", "1000", "WAIT", "1000"))["ttl-ms"] == 1_000
