"""Reads over a store that answers what the test says: orphans, waits and cuts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from sidecar.errors import Unavailable
from sidecar.memory.reading import kind_of
from sidecar.memory.requests import ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from tests.memory.answering import Bench, Others, memory, start
from tests.support.waiting import eventually

SPOKEN = StoredMessage("1-0", "user", "hi", 10, None)
ORPHAN = StoredMessage("2-0", "tool", "42", 20, '{"tool_call_id":"gone"}')
CALL = StoredMessage("3-0", "assistant", "", 5, '{"tool_calls":[{"id":"a"}]}')


@dataclass
class Found:
    """What a store found."""

    result: ReadResult
    newest_id: str = "9-0"
    cut_room: int = 0
    cut: list[StoredMessage] = field(default_factory=list)


def found(*messages: StoredMessage, summary: str | None = "sum", **others: Any) -> Found:
    return Found(ReadResult(summary, 5, list(messages), 9, 90, more=True, left_out=1), **others)


def tokens_read(bench: Bench) -> int:
    return sum(reads.tokens for reads in bench.tally.reads.values())


def test_what_is_asked() -> None:
    """The request reaches the store as it is, with nothing to wait for."""
    bench = Bench(found())
    request = ReadRequest(memory("k"), 8, count=9, since="1-0", with_summary=False, touch=False)
    start(bench, request)
    assert bench.store.calls == [("read", request, 0)]


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, False),
        ({"with_summary": False, "touch": False}, False),
        ({"since": "0-1"}, False),
        ({"since": "0-1", "tokens": 9, "count": 9, "format": "openai"}, False),
        ({"tokens": 9}, True),
        ({"tokens": 0}, True),
        ({"count": 9}, True),
        ({"format": "openai"}, True),
        ({"format": "anthropic"}, True),
        ({"before": "9-0"}, True),
        ({"roles": ("user", "tool")}, True),
    ],
)
def test_orphans(options: dict[str, Any], whole: bool) -> None:
    """A cut-off read, or one for a model, leaves orphaned tool messages out and counts them; SINCE never does."""
    bench = Bench(found(SPOKEN, ORPHAN))
    (result,) = start(bench, ReadRequest(memory("k"), **options))
    assert result.messages == ([SPOKEN] if whole else [SPOKEN, ORPHAN])
    assert result.left_out == (2 if whole else 1)
    assert (bench.tally.orphans_left_out, bench.tally.passed_over) == (int(whole), 1)
    assert tokens_read(bench) == result.tokens == (15 if whole else 35)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "whole"),
        ({"tokens": 9, "count": 9, "since": "0-1"}, "budget"),
        ({"count": 9, "since": "0-1"}, "count"),
        ({"since": "0-1", "roles": ("user",)}, "since"),
        ({"before": "9-0"}, "filtered"),
        ({"roles": ("user",)}, "filtered"),
        ({"block_ms": 0, "tokens": 9}, "blocking"),
    ],
)
def test_reads_are_counted_by_kind(options: dict[str, Any], kind: str) -> None:
    """What bounds a read is its kind, and under that it is counted, with the messages and tokens that it returns."""
    request = ReadRequest(memory("k"), **options)
    assert kind_of(request) == kind
    if request.block_ms is None:
        bench = Bench(found(SPOKEN))
        start(bench, request)
        counted = {name: (each.reads, each.messages, each.tokens) for name, each in bench.tally.reads.items()}
        assert counted == {name: (1, 1, 15) if name == kind else (0, 0, 0) for name in counted}


@pytest.mark.parametrize(
    ("options", "kept"), [({"count": 9}, True), ({"before": "9-0"}, False), ({"roles": ("assistant",)}, False)]
)
def test_calls_whose_results_may_still_come(options: dict[str, Any], kept: bool) -> None:
    """A call at the end is kept where the read goes up to now; otherwise its results are there, and not returned."""
    bench = Bench(found(SPOKEN, CALL))
    (result,) = start(bench, ReadRequest(memory("k"), **options))
    assert (CALL in result.messages) is kept


def test_no_summary() -> None:
    """The tokens of a summary count where there is one."""
    bench = Bench(found(SPOKEN, summary=None))
    start(bench, ReadRequest(memory("k")))
    assert tokens_read(bench) == 10


@pytest.mark.parametrize("options", [{}, {"oversize": "truncate"}])
async def test_an_error(options: dict[str, Any]) -> None:
    """What the store raises is the result."""
    away = Unavailable("refused")
    bench = Bench(away)
    assert await bench.ask(ReadRequest(memory("k"), tokens=5, **options)) is away
    assert tokens_read(bench) == 0


class TestBlock:
    async def test_what_is_there_already(self) -> None:
        """A reader for whom there is something neither waits nor watches."""
        bench = Bench(found(SPOKEN))
        result = await bench.ask(ReadRequest(memory("k"), since="0-1", block_ms=60_000))
        assert result.messages == [SPOKEN]
        assert bench.others.calls == []

    async def test_what_comes(self) -> None:
        """A reader waits on the memory's channel, tells how long, and looks again at each piece of news."""
        bench = Bench(found(), found(), found(), found(SPOKEN))
        request = ReadRequest(memory("k"), since="$", block_ms=60_000)
        answer = asyncio.ensure_future(bench.ask(request))

        def has_looked(times: int) -> bool:
            return len(bench.store.calls) == times

        for looks in (2, 3):
            await eventually(partial(has_looked, looks), why="it did not look")
            bench.others.news.set()
        assert (await answer).messages == [SPOKEN]
        assert request.since == "9-0"  # "from now on" is one moment, however often it looks
        assert [call[2] > 59_000 for call in bench.store.calls] == [False, True, True, True]
        assert bench.others.calls == [("watch", memory("k").keys.wake), ("unwatch", memory("k").keys.wake)]

    async def test_nothing_comes(self) -> None:
        """When the time is over it answers what there is: nothing."""
        bench = Bench(found())
        result = await bench.ask(ReadRequest(memory("k"), since="1-0", block_ms=20))
        assert result.messages == []

    async def test_nobody_tells(self) -> None:
        """Where there will be no news, it looks by itself."""
        bench = Bench(found(), found(), found(SPOKEN), others=Others(told=False))
        result = await bench.ask(ReadRequest(memory("k"), since="1-0", block_ms=60_000))
        assert result.messages == [SPOKEN]

    async def test_an_empty_memory(self) -> None:
        """From now on, in a memory without messages, is from its first message on."""
        bench = Bench(found(newest_id=""), found(newest_id=""), found(SPOKEN))
        request = ReadRequest(memory("k"), since="$", block_ms=60_000)
        bench.others.news.set()
        assert (await bench.ask(request)).messages == [SPOKEN]
        assert request.since == "0-0"

    async def test_a_client_that_has_gone(self) -> None:
        """A wait that is stopped ends at once, with what there is."""
        bench = Bench(found())
        request = ReadRequest(memory("k"), since="1-0", block_ms=60_000)
        answer = asyncio.ensure_future(bench.ask(request))
        await eventually(lambda: len(bench.store.calls) == 2, why="it did not wait")
        bench.service.stop(request)
        assert (await answer).messages == []
        bench.service.stop(request)  # there is nothing left to stop


class TestTruncate:
    LARGE = StoredMessage("0-5", "user", "a" * 50, 57, None)

    async def test_a_cut(self) -> None:
        """What is too large is cut to the room that is left, and stands where it belongs."""
        bench = Bench(found(SPOKEN, cut_room=17, cut=[self.LARGE]))
        result = await bench.ask(ReadRequest(memory("k"), tokens=40, oversize="truncate"))
        cut = replace_content(self.LARGE, "a" * 10, 17)
        assert result.messages == [cut, SPOKEN]
        assert result.tokens == 17 + 10 + 5

    async def test_no_room(self) -> None:
        """Where not even a letter fits, it is left out and counted."""
        bench = Bench(found(SPOKEN, cut_room=7, cut=[self.LARGE]))
        result = await bench.ask(ReadRequest(memory("k"), tokens=40, oversize="truncate"))
        assert (result.messages, result.left_out) == ([SPOKEN], 2)

    async def test_nothing_to_wait_for(self) -> None:
        """A message that is there, if too large, ends a wait, at once or when it comes."""
        for before in ((), (found(),)):
            bench = Bench(*before, found(cut_room=17, cut=[self.LARGE]))
            request = ReadRequest(memory("k"), tokens=40, oversize="truncate", since="0-1", block_ms=60_000)
            async with asyncio.timeout(5):
                result = await bench.ask(request)
            assert result.messages == [replace_content(self.LARGE, "a" * 10, 17)]

    async def test_a_large_text(self) -> None:
        """A text that takes long to count is cut on a thread."""
        large = StoredMessage("0-5", "user", "a" * 70_000, 70_007, None)
        bench = Bench(found(cut_room=17, cut=[large], summary=None))
        result = await bench.ask(ReadRequest(memory("k"), tokens=17, oversize="truncate"))
        assert result.messages == [replace_content(large, "a" * 10, 17)]
        assert len(bench.counters["o200k_base"].threads) == 1


def replace_content(message: StoredMessage, content: str, tokens: int) -> StoredMessage:
    return message._replace(content=content, tokens=tokens, fields='{"truncated":true}')
