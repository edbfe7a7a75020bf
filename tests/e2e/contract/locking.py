"""MEMLOCK and MEMUNLOCK."""

from __future__ import annotations

from tests.e2e.contract.appending import LEASE
from tests.e2e.dialogue import Refusal, dialogue, step

LOCKING = (
    dialogue(
        "one holds the lease until it is released",
        step("MEMLOCK <key> 60000", gives=LEASE),
        step(
            "MEMLOCK <key> 60000",
            gives=Refusal("LOCKED somebody else holds the lock of this memory for <number> ms more; it did not come "),
        ),
        step("MEMUNLOCK <key> nonsense", gives=0),
        step("MEMUNLOCK <key> <text-token>", gives=1),
        step("MEMUNLOCK <key> <text-token>", gives=0),
        step("MEMLOCK <key> 60000", gives={**LEASE, "token": "<text-next>"}),
    ),
    dialogue(
        "a lease is renewed by its holder only",
        step("MEMLOCK <key> 60000", gives={**LEASE, "fence": "<number-fence>"}),
        step(
            "MEMLOCK <key> 90000 RENEW <text-token>",
            gives={"token": "<text-token>", "fence": "<number-fence>", "ttl-ms": 90_000, "waited-ms": "<number>"},
        ),
        step("MEMLOCK <key> 90000 RENEW nonsense", gives=Refusal("STALELOCK ")),
        step("MEMLOCK <key> 90000 WAIT 10 RENEW <text-token>", gives=Refusal("ERR RENEW extends a lease that is held")),
    ),
    dialogue(
        "whoever waits for a lease does not wait longer than asked",
        step("MEMLOCK <key> 60000 WAIT 10", gives=LEASE),
        step(
            "MEMLOCK <key> 60000 WAIT 10",
            gives=Refusal("LOCKED somebody else holds the lock of this memory for <number> ms more; it did not come "),
        ),
    ),
    dialogue(
        "leases and waits have limits",
        step("MEMLOCK <key> 99", gives=Refusal("ERR ttl-ms must be 100 to 600000 for 'default', not 99")),
        step("MEMLOCK <key> 600001", gives=Refusal("ERR ttl-ms must be 100 to 600000 for 'default', not 600001")),
        step("MEMLOCK <key> 1000 WAIT 60001", gives=Refusal("ERR WAIT must be at most 60000 for 'default', not 60001")),
    ),
)
