"""What engines carry between the steps."""

from __future__ import annotations

import json
from dataclasses import asdict

from sidecar.flush.ticket import Begun, PlanFacts, Ticket
from sidecar.memory.ports import FlushOutcome

TICKET = Ticket("chat", "i", "run", "fifo", True, "1700000000000000", 3, 7, "1-2", 20, 1_000, 40, 1_700_000_000_000)


def test_a_ticket_survives_json() -> None:
    """An engine may write a ticket down and read it back in another process."""
    assert Ticket(**json.loads(json.dumps(asdict(TICKET)))) == TICKET


def test_what_else_travels_is_plain_too() -> None:
    """The other values consist of what JSON knows."""
    for value in (Begun("begun", "run", TICKET), Begun("not-due", "run", None, FlushOutcome("not-due"))):
        assert json.loads(json.dumps(asdict(value))) == asdict(value)
    facts = PlanFacts(1, 2, True, False, True)
    assert json.loads(json.dumps(asdict(facts))) == asdict(facts)
