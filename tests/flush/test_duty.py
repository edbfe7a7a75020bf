"""The deputy's side, fed by hand: errands in, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.errors import FlushRefused
from sidecar.flush.duty import serve_errands
from sidecar.flush.errands import READY, Answer, Errand, Recall, framed, next_frame, to_answer
from sidecar.flush.labour import Progress
from sidecar.flush.ticket import PlanFacts, Ticket
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.store.flush_words import Deed
from tests.flush.deputies import TICKET
from tests.support.waiting import eventually


class Labourer:
    """Labour that fails, waits and notes its cancellation as told by the run id."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.go_on = asyncio.Event()

    async def plan(self, ticket: Ticket, definition: Definition) -> PlanFacts:
        self.asked.append(f"plan {definition.id}")
        return PlanFacts(1, 2, True, False, True)

    async def summarise(self, ticket: Ticket, definition: Definition, progress: Progress, *, fallback: bool) -> int:
        self.asked.append("summarise")
        progress()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append("summarise")
            raise
        return 7

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        raise FlushRefused("lost-plan")

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        raise KeyError("the secret")


class Bench:
    """A duty under way."""

    def __init__(self) -> None:
        self.labour = Labourer()
        self.reader = asyncio.StreamReader()
        self.written: list[bytes] = []
        self.task = asyncio.create_task(serve_errands(self.reader, self.written.append, self.labour))

    def send(self, order: Errand | Recall) -> None:
        self.reader.feed_data(framed(order))

    async def answers(self, number: int) -> list[Answer]:
        """Wait until there are so many answers besides the greeting, and return them."""
        await eventually(lambda: len(self.written) == number + 1)
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join(self.written))
        found = []
        for _ in self.written:
            frame = await next_frame(reader)
            assert frame is not None
            found.append(to_answer(frame))
        assert found[0].number == READY
        return found[1:]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A duty that has begun."""
    bench = Bench()
    yield bench
    bench.reader.feed_eof()
    await bench.task


async def test_errands_are_done_side_by_side(bench: Bench) -> None:
    """One that takes long does not keep the next one waiting."""
    bench.send(Errand(1, "summarise", Definition(), TICKET))
    bench.send(Errand(2, "plan", Definition(id="chat"), TICKET))
    (first,) = await bench.answers(1)
    assert (first.number, bench.labour.asked) == (2, ["summarise", "plan chat"])
    bench.labour.go_on.set()
    _, second = await bench.answers(2)
    assert (second.number, bytes(second.value)) == (1, b"7")


async def test_troubles_are_answered(bench: Bench) -> None:
    """What the work raises is the answer; of a bug its type is."""
    bench.send(Errand(1, "prepare", Definition(), TICKET))
    bench.send(Errand(2, "preview", Definition(), order=FlushOrder("chat", "i")))
    refused, bug = (answer.trouble for answer in await bench.answers(2))
    assert refused is not None
    assert refused.facts == {"reason": "lost-plan"}
    assert bug is not None
    assert bug.text == "internal error: KeyError"


async def test_a_recalled_errand_is_broken_off(bench: Bench) -> None:
    """Nobody waits for it, so it goes no further and is not answered; one that is done already does not matter."""
    bench.send(Errand(1, "summarise", Definition(), TICKET))
    await eventually(lambda: bench.labour.asked)
    bench.send(Recall(1))
    await eventually(lambda: bench.labour.cancelled)
    bench.send(Recall(1))
    bench.send(Errand(2, "plan", Definition(), TICKET))
    assert [answer.number for answer in await bench.answers(1)] == [2]


async def test_the_end_of_the_pipe_ends_it(bench: Bench) -> None:
    """With an errand under way, too: whoever sent it has gone."""
    bench.send(Errand(1, "summarise", Definition(), TICKET))
    await eventually(lambda: bench.labour.asked)
    bench.reader.feed_eof()
    async with asyncio.timeout(5):
        await bench.task
