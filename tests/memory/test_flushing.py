"""MEMFLUSH with STRATEGY, TARGET and DRYRUN: what is ordered, what is previewed. Its outcomes: `test_service_flush`."""

from __future__ import annotations

import pytest

from sidecar.errors import Unavailable
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.memory.requests import FlushRequest
from sidecar.memory.results import FlushReport
from tests.memory.answering import Bench, Others, info, memory

PLANNED = FlushOutcome("done", strategy="fifo", removed=4, messages=6, tokens=40, tokens_freed=30, shortened=2)


async def test_the_order_has_what_was_asked_for() -> None:
    """Strategy and target go to the engine as they are; without them the order leaves both to the definition."""
    bench = Bench(info(8, 81))
    await bench.ask(FlushRequest(memory("k"), strategy="fifo", target=50))
    await bench.ask(FlushRequest(memory("k"), force=True, target=0))
    await bench.ask(FlushRequest(memory("k")))
    assert bench.engine.orders == [
        FlushOrder("default", "k", strategy="fifo", target_tokens=50),
        FlushOrder("default", "k", force=True, target_tokens=0),
        FlushOrder("default", "k"),
    ]


@pytest.mark.parametrize(
    ("target", "tokens", "summary_tokens", "due"),
    [(50, 51, 0, True), (50, 50, 0, False), (50, 40, 11, True), (90, 85, 0, False), (0, 1, 0, True), (0, 0, 0, False)],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_target_is_the_threshold(
    target: int, tokens: int, summary_tokens: int, due: bool, dry_run: bool
) -> None:
    """With a target a memory is due above it, below its threshold too, and not otherwise."""
    bench = Bench(info(1, tokens, summary_tokens=summary_tokens), others=Others([PLANNED]))
    report = await bench.ask(FlushRequest(memory("k"), target=target, dry_run=dry_run))
    assert report.status == (("would-flush" if dry_run else "started") if due else "not-due")


@pytest.mark.parametrize("wait_ms", [None, 1_000])
async def test_a_dry_run_starts_nothing(wait_ms: int | None) -> None:
    """DRYRUN reports what the same order would do, with WAIT and without, and no flush is started."""
    bench = Bench(info(8, 81), others=Others([PLANNED]))
    request = FlushRequest(memory("k"), wait_ms=wait_ms, strategy="fifo", target=45, dry_run=True)
    report = await bench.ask(request)
    assert report == FlushReport(
        "would-flush", strategy="fifo", removed=4, messages=6, tokens=40, tokens_freed=30, shortened=2
    )
    assert bench.others.calls == [("preview", FlushOrder("default", "k", strategy="fifo", target_tokens=45))]
    assert bench.engine.orders == []


async def test_a_dry_run_of_what_is_not_due() -> None:
    """DRYRUN says the same as the flush would; with FORCE it is planned whatever the size."""
    bench = Bench(info(1, 10), others=Others([PLANNED]))
    assert await bench.ask(FlushRequest(memory("k"), dry_run=True)) == FlushReport("not-due")
    assert bench.others.calls == []
    assert (await bench.ask(FlushRequest(memory("k"), force=True, dry_run=True))).status == "would-flush"


async def test_a_dry_run_without_redis() -> None:
    """What keeps the plan from being made is the answer."""
    away = Unavailable("refused")
    bench = Bench(info(8, 81), others=Others([away]))
    assert await bench.ask(FlushRequest(memory("k"), dry_run=True)) is away
