"""The service's appends, reads and counts, over a store that answers what the test says."""

from __future__ import annotations

import threading

import pytest

from sidecar.errors import RedisRefused, SyntaxProblem, Unavailable, UnknownMemory
from sidecar.memory.appending import MAX_REMEMBERED_ENCODINGS
from sidecar.memory.message import Message
from sidecar.memory.requests import (
    LARGE_MESSAGE_CHARACTERS,
    AppendRequest,
    ClearRequest,
    ContextRequest,
    CountRequest,
    InfoRequest,
    Request,
)
from sidecar.memory.results import EncodingDiffers
from tests.memory.answering import APPENDED, OTHER, Bench, info, memory, start

HERE = {threading.get_ident()}


def append(*contents: str, key: str = "k", large: bool = False) -> AppendRequest:
    return AppendRequest(memory(key), [Message("user", content) for content in contents], large)


class TestAppend:
    def test_counted_and_stored(self) -> None:
        """An append is counted in its definition's encoding, stored, tallied and answered, all in one call."""
        bench = Bench(APPENDED)
        assert start(bench, append("four", "")) == [APPENDED]
        assert bench.store.calls == [("append", "k", ["four", ""], [3 + 4 + 4, 3 + 4], "o200k_base")]
        assert (bench.tally.messages_appended, bench.tally.tokens_appended) == (2, 18)

    def test_counted_as_the_memory_is(self) -> None:
        """A memory of another encoding is counted in that one, at once in the next append, and only that memory."""
        bench = Bench(OTHER, APPENDED)
        assert start(bench, append("four")) == [APPENDED]
        assert start(bench, append("four")) == [APPENDED]
        assert start(bench, append("four", key="k2")) == [APPENDED]
        assert [call[1:] for call in bench.store.calls] == [
            ("k", ["four"], [3 + 4 + 4], "o200k_base"),
            ("k", ["four"], [3 + 8 + 8], "cl100k_base"),
            ("k", ["four"], [3 + 8 + 8], "cl100k_base"),
            ("k2", ["four"], [3 + 4 + 4], "o200k_base"),
        ]
        assert bench.tally.tokens_appended == 19 + 19 + 11

    def test_a_cleared_memory_is_counted_anew(self) -> None:
        """After a clear the memory is a new one, which is counted as its definition says."""
        bench = Bench(OTHER, APPENDED, 7, APPENDED)
        start(bench, append("four"))
        assert start(bench, ClearRequest(memory("k"))) == [7]
        start(bench, append("four"))
        assert [call[-1] for call in bench.store.calls] == ["o200k_base", "cl100k_base", "k", "o200k_base"]

    def test_remembered_encodings_are_bounded(self) -> None:
        """When too many memories are of another encoding, all are forgotten, and asked about again."""
        bench = Bench(*[OTHER, APPENDED] * (MAX_REMEMBERED_ENCODINGS + 1), OTHER, APPENDED)
        for number in range(MAX_REMEMBERED_ENCODINGS + 1):
            assert start(bench, append("x", key=f"k{number}")) == [APPENDED]
        asked = len(bench.store.calls)
        assert start(bench, append("x", key="k0")) == [APPENDED]
        assert [call[-1] for call in bench.store.calls[asked:]] == ["o200k_base", "cl100k_base"]

    def test_an_encoding_that_nobody_knows(self) -> None:
        """A memory of an encoding that is not shipped answers the error, also when the store's callback finds it."""
        bench = Bench(EncodingDiffers("p50k_base"), APPENDED)
        for _ in range(2):
            (problem,) = start(bench, append("x"))
            assert isinstance(problem, KeyError)
        assert len(bench.store.calls) == 1

    @pytest.mark.parametrize("large", [False, True])
    async def test_what_the_store_raises_is_the_answer(self, large: bool) -> None:
        """Redis's refusal is the result, and nothing is tallied."""
        refused = RedisRefused("OOM command not allowed")
        bench = Bench(refused)
        assert await bench.ask(append("x", large=large)) is refused
        assert bench.tally.messages_appended == 0

    async def test_a_large_message_is_counted_on_a_thread(self) -> None:
        """A large append does not count on the event loop, neither the first time nor in the other encoding."""
        bench = Bench(OTHER, APPENDED)
        assert await bench.ask(append("four", large=True)) == APPENDED
        assert [call[3:] for call in bench.store.calls] == [([11], "o200k_base"), ([19], "cl100k_base")]
        for counter in bench.counters.values():
            assert counter.threads
            assert not counter.threads & HERE
        assert bench.tally.tokens_appended == 19

    def test_a_small_message_is_counted_here(self) -> None:
        """A thread would cost more than counting a few words."""
        bench = Bench(APPENDED)
        start(bench, append("four"))
        assert bench.counters["o200k_base"].threads == HERE


@pytest.mark.parametrize(
    ("request_", "call", "answer"),
    [
        (InfoRequest(memory("k")), ("info", "k"), info()),
        (ClearRequest(memory("k")), ("clear", "k"), 3),
        (ClearRequest(memory("k")), ("clear", "k"), Unavailable("refused")),
    ],
)
def test_info_and_clear(request_: Request, call: tuple[str, ...], answer: object) -> None:
    """Both go to the store and come back as they are."""
    bench = Bench(answer)
    assert start(bench, request_) == [answer]
    assert bench.store.calls == [call]


class TestCount:
    @pytest.mark.parametrize(
        ("request_", "counts"),
        [
            (CountRequest(["four", ""]), [4, 0]),
            (CountRequest(["four"], definition="default"), [4]),
            (CountRequest(["four"], definition="old"), [8]),
            (CountRequest(["four"], model="gpt-4"), [8]),
        ],
    )
    async def test_encodings(self, request_: CountRequest, counts: list[int]) -> None:
        """Texts are counted in the encoding of the definition or model that is named, else in default's."""
        assert await Bench().ask(request_) == counts

    @pytest.mark.parametrize("name", ["nope", ""])
    async def test_an_unknown_definition(self, name: str) -> None:
        """It is NOMEMORY, which names the known ones."""
        problem = await Bench().ask(CountRequest(["x"], definition=name))
        assert isinstance(problem, UnknownMemory)
        assert problem.reply() == f"NOMEMORY no memory definition '{name}'; use one of: default, old"

    async def test_an_unknown_model(self) -> None:
        """It is a syntax error with the reason."""
        problem = await Bench().ask(CountRequest(["x"], model="llama"))
        assert isinstance(problem, SyntaxProblem)
        assert problem.reply() == "ERR no vocabulary is known for llama"

    async def test_without_a_default(self) -> None:
        """A configuration need not define default; then the built-in encoding counts."""
        assert await Bench(definitions={}).ask(CountRequest(["four"])) == [4]

    @pytest.mark.parametrize(("extra", "here"), [(0, True), (1, False)])
    async def test_large_texts(self, extra: int, here: bool) -> None:
        """Texts that are large together are counted on a thread."""
        bench = Bench()
        half = LARGE_MESSAGE_CHARACTERS // 2
        assert await bench.ask(CountRequest(["x" * half, "x" * (half + extra)])) == [half, half + extra]
        assert (bench.counters["o200k_base"].threads == HERE) is here


def test_an_unknown_request() -> None:
    """A request that the service does not know is answered with the exception, not raised at the session."""
    (problem,) = start(Bench(), ContextRequest())  # which the session answers itself
    assert isinstance(problem, KeyError)
