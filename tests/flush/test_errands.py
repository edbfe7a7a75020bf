"""What travels between a process and its deputy comes out as it went in."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sidecar.errors import (
    DeputyLost,
    FlushRefused,
    MemsidecarError,
    RedisRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryRejected,
    Unavailable,
    Uncertain,
)
from sidecar.flush.errands import (
    RESULTS,
    Answer,
    Errand,
    Kind,
    Recall,
    Trouble,
    framed,
    next_frame,
    to_answer,
    to_order,
)
from sidecar.flush.ticket import PlanFacts
from sidecar.memory.definition import (
    Definition,
    FlushPolicy,
    LockPolicy,
    PriorityBlock,
    PrivacyPolicy,
    RedactionPattern,
)
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.store.flush_words import Deed
from tests.flush.deputies import TICKET

RICH = Definition(
    id="rich",
    type="message_count_based",
    calibration=1.1,
    max_messages=7,
    priority_blocks=(PriorityBlock("facts", "critical", ("user",), ("remember",)),),
    token_allocation={"facts": 0.25},
    flush=FlushPolicy(strategy="priority", undo_ttl_ms=5),
    privacy=PrivacyPolicy(("email",), (RedactionPattern("order", "[0-9]+", None),), "[{kind}]", ("tool",)),
    locking=LockPolicy(wait_ms=1),
)


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize(
    "order",
    [
        Errand(1, "plan", Definition(), TICKET),
        Errand(2, "summarise", RICH, TICKET),
        Errand(3, "preview", RICH, order=FlushOrder("rich", "i", True, "fifo", 12)),
        Recall(4),
    ],
)
async def test_orders(order: Errand | Recall) -> None:
    """An errand takes along the whole definition, as the sender has it at that time."""
    frame = await next_frame(reader_of(framed(order)))
    assert frame is not None
    assert to_order(frame) == order


RESULT_OF: list[tuple[Kind, Any]] = [
    ("plan", PlanFacts(1, 2, True, False, True)),
    ("summarise", 17),
    ("prepare", Deed("fifo", 3, 0, 150, 0, -1, True, "1-1", "1-3", head="1-2", ids=["1-3"])),
    ("preview", FlushOutcome("done", removed=3, messages=4)),
]


@pytest.mark.parametrize(("kind", "value"), RESULT_OF)
async def test_results(kind: Kind, value: Any) -> None:
    """Each kind of errand gives its own kind of result."""
    frame = await next_frame(reader_of(framed(Answer(1, msgspec.Raw(msgspec.json.encode(value))))))
    assert frame is not None
    answer = to_answer(frame)
    assert (answer.number, answer.trouble) == (1, None)
    assert msgspec.json.decode(answer.value, type=RESULTS[kind]) == value


def test_every_kind_has_a_result() -> None:
    """The table above is complete."""
    assert [kind for kind, _ in RESULT_OF] == list(RESULTS)


TROUBLES = [
    FlushRefused("stale-fence"),
    RedisRefused("OOM command not allowed"),
    Unavailable("connection refused"),
    Uncertain("connection closed"),
    SummariserUnavailable(2.5, "busy"),
    SummariserRefused("no such model"),
    SummaryRejected("over-budget"),
]


@pytest.mark.parametrize("problem", TROUBLES)
async def test_troubles(problem: MemsidecarError) -> None:
    """An error arrives with its class, its text and its facts, so that whoever waits does what it does anyway."""
    frame = await next_frame(reader_of(framed(Answer(1, trouble=Trouble.of(problem)))))
    assert frame is not None
    trouble = to_answer(frame).trouble
    assert trouble is not None
    arrived = trouble.error()
    assert (type(arrived), str(arrived), vars(arrived)) == (type(problem), str(problem), vars(problem))


def test_a_bug_shows_its_type_alone() -> None:
    """The text of an unexpected error stays where it happened: it may hold a message's."""
    arrived = Trouble.of(ValueError("the secret")).error()
    assert isinstance(arrived, DeputyLost)
    assert arrived.why == "internal error: ValueError"


@pytest.mark.parametrize("bytes_left", [0, 2, 4, 10])
async def test_a_frame_that_is_cut_off_is_none(bytes_left: int) -> None:
    """Where the other side goes in the middle of a frame, there is no more."""
    assert await next_frame(reader_of(framed(Recall(1))[:bytes_left])) is None
