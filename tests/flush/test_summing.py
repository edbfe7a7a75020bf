"""Who is asked for a summary, and what is counted; the rest is shown on a real Redis in `test_trying`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sidecar.errors import SummariserRefused, SummariserUnavailable, SummaryRejected
from sidecar.flush.summing import Summing
from sidecar.memory.ports import Partial, PartialWork, Summariser
from sidecar.memory.stored_message import StoredMessage
from sidecar.metrics import Metrics
from tests.flush.conversations import said
from tests.flush.memories import counted


class Says:
    """The port `Summariser`: always the same."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        return self.text


class InParts(Says):
    """The port `ResumableSummariser`: goes on from the part that it gets, and lays the next one aside."""

    async def resume(
        self,
        earlier: str,
        messages: Sequence[StoredMessage],
        budget: int,
        count: Callable[[str], int],
        work: PartialWork,
    ) -> str:
        work.spent(5, 2)
        await work.keep(Partial(f"{work.partial.text} more", work.partial.messages + 1))
        return work.partial.text


async def make(summing: Summing, name: str, kept: list[Partial]) -> str:
    async def keep(partial: Partial) -> None:
        kept.append(partial)

    return await summing.make(
        name,
        "",
        [said("user", "Hello there")],
        budget=5,
        count=lambda text: len(text.split()),
        partial=Partial("so far", 3),
        keep=keep,
    )


async def test_by_name() -> None:
    """The usual one has its name, the others theirs, and one that comes later, as with a reload, is found."""
    others: dict[str, Summariser] = {"brief": Says("brief")}
    summing = Summing(Says("usual"), others, None)
    assert await make(summing, "extractive", []) == "usual"
    assert await make(summing, "brief", []) == "brief"
    with pytest.raises(SummariserRefused, match="no summariser 'later'"):
        await make(summing, "later", [])
    others["later"] = Says("later")
    assert await make(summing, "later", []) == "later"


async def test_in_parts() -> None:
    """A summariser that works in parts gets the last part, and its own is laid aside; its usage is counted."""
    metrics, kept = Metrics(), list[Partial]()
    assert await make(Summing(InParts(""), {}, metrics), "extractive", kept) == "so far more"
    assert kept == [Partial("so far more", 4)]
    assert counted(metrics, "model_tokens_total", summariser="extractive", direction="in") == 5
    assert counted(metrics, "model_tokens_total", summariser="extractive", direction="out") == 2


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), ("a b c d e f", "over-budget"), ("<html>", "error")])
async def test_every_summary_is_judged(text: str, reason: str) -> None:
    """Whoever made it, what is no summary is refused, and counted once by its reason."""
    metrics = Metrics()
    with pytest.raises(SummaryRejected, match=reason):
        await make(Summing(Says(""), {"other": Says(text)}, metrics), "other", [])
    assert counted(metrics, "summaries_failed_total", reason=reason) == 1


async def test_a_bug_is_trouble_that_may_pass() -> None:
    """An exception that is none of ours is told by its type, without its text, and counts as one more failure."""

    class Breaks(Says):
        async def summarise(self, *_: object) -> str:
            raise KeyError(self.text)

    metrics = Metrics()
    with pytest.raises(SummariserUnavailable) as problem:
        await make(Summing(Breaks("secret"), {}, metrics), "extractive", [])
    assert "KeyError" in str(problem.value)
    assert "secret" not in str(problem.value)
    assert problem.value.__cause__ is None
    assert counted(metrics, "summaries_failed_total", reason="unavailable") == 1
