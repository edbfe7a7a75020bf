"""The messages against what they stand for on the other side of Temporal."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from typing import Any

import pytest
from temporalio.converter import DataConverter

from sidecar.flush.ticket import Ticket
from sidecar.memory.ports import FlushOutcome
from sidecar.temporal import messages
from sidecar.temporal.messages import (
    BeginRequest,
    BeginResult,
    FailRequest,
    FallBackRequest,
    FlushRequest,
    FlushResult,
    PlanResult,
    StepTicket,
    SweepRequest,
    SweepResult,
)
from tests.temporal.scripted import done, ticket

REQUEST = FlushRequest("chat", "i", "p", force=True)
TICKET = StepTicket(project="p", **asdict(ticket("r")))
MESSAGES = [
    REQUEST,
    BeginRequest(REQUEST, "r"),
    TICKET,
    FlushResult(**asdict(done("r", again=True))),
    BeginResult(ticket=TICKET),
    BeginResult(result=FlushResult("not-due")),
    BeginResult(holder="other"),
    PlanResult(5, 50, summarise=True),
    FallBackRequest(TICKET, "SummaryRejected"),
    FailRequest(REQUEST, "why", 1.5, TICKET),
    FailRequest(REQUEST, "why", 1.5),
    SweepRequest("p", 1_000),
    SweepResult(5, 1, 1, 2, 1),
]


def names(message: type) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [field.name for field in fields(message)]


def test_a_ticket_loses_nothing() -> None:
    """A ticket travels with every field, and with the project beside them."""
    assert names(StepTicket) == ["project", *names(Ticket)]


def test_a_result_is_an_outcome() -> None:
    """A result has the fields of an outcome, and the same defaults."""
    assert names(FlushResult) == names(FlushOutcome)
    assert asdict(FlushResult("done")) == asdict(FlushOutcome("done"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
async def test_messages_survive_the_journey(message: Any) -> None:
    """Each message comes out of Temporal's JSON as it went in, types included."""
    converter = DataConverter.default
    payloads = await converter.encode([message])
    assert await converter.decode(payloads, [type(message)]) == [message]


def test_every_message_is_covered() -> None:
    """The journey above is made by every message that there is."""
    defined = {kind for kind in vars(messages).values() if is_dataclass(kind)}
    assert defined == {type(message) for message in MESSAGES}
