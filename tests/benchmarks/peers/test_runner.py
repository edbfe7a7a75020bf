"""A whole run against a peer, without any of the peers' packages."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.harness import Options
from benchmarks.peers.books import Account
from benchmarks.peers.catalogue import LEFT_OUT, OPENAI_AGENTS, OWN
from benchmarks.peers.crew import PeerMissing
from benchmarks.peers.runner import PeersReport, run
from benchmarks.peers.tables import for_markdown, for_terminal, sheets
from benchmarks.peers.work import WRITERS, Findings, Reading
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.scenario import Case, Comparison
from tests.benchmarks.peers.crews import careless
from tests.benchmarks.reports import sample


class Silence:
    """A `harness.Progress` that counts."""

    def __init__(self) -> None:
        self.announced = self.done = 0

    def begin(self, measurements: int) -> None:
        self.announced = measurements

    def case(self, name: str) -> None:
        """Take no interest."""

    def advance(self) -> None:
        self.done += 1


def test_a_whole_run(tmp_path: Path) -> None:
    """Rates, books, readings, ratios, guarantees and promises are in the tables and in the JSON."""
    # Under the name that promises are made about; it loses messages, and memsidecar does not.
    peer = dataclasses.replace(careless("lose", "--asyncio"), name=OPENAI_AGENTS.name, client="redis-py asyncio")
    progress = Silence()
    report = run([peer], Options(scenarios=[], rounds=1, seconds=0.2), progress, writers=2)
    assert progress.announced == progress.done > 0

    report.write(tmp_path / "made" / "peers.json")
    content = json.loads((tmp_path / "made" / "peers.json").read_text(encoding="utf-8"))
    own, generator = "memsidecar, redis-py asyncio", "memsidecar, load generator"
    subjects = ["memsidecar, redis-py", own, generator]
    for case in content["cases"]:
        compared = [(ratio["subject"], ratio["reference"]) for ratio in case["ratios"]]
        assert compared == [(subject, peer.name) for subject in subjects]
        assert all(contender["rate"]["median"] > 0 for contender in case["contenders"])
    single, contended, reading = content["found"].values()
    assert single["accounts"][peer.name][0]["lost"] > 0
    assert contended["accounts"][own][0]["acknowledged"] == contended["accounts"][own][0]["stored"] > 0
    assert reading["readings"][own][0]["tokens"] <= 8_000 < reading["readings"][peer.name][0]["tokens"]
    assert {each["name"] for each in content["left_out"]} == {each.name for each in LEFT_OUT}

    promised = {promise["text"]: promise["kept"] for promise in content["promises"]}
    assert [kept for text, kept in promised.items() if "lost, doubled" in text] == [True] * 4
    assert sum("at least 5" in text for text in promised) == sum("at most 5 ms" in text for text in promised) == 3
    assert not any("at least 20" in text for text in promised)  # that is promised for eight writers, not for two

    text = for_markdown(report)
    Console(file=(screen := StringIO()), width=200).print(for_terminal(report))
    for sheet in sheets(report):
        assert f"### {sheet.title}" in text
        assert sheet.title in screen.getvalue()
        assert all(len(row) == len(sheet.head) for row in sheet.rows)
    assert f" / {contended['accounts'][peer.name][0]['lost']:,} / 0 / 0 | no order | lost |" in text


def invented(rates: dict[str, float], *, lost: int, p50_ms: float) -> PeersReport:
    """Return a report of one round: eight writers with these rates and losses, and reads that took so long."""
    comparisons = [Comparison(name, OPENAI_AGENTS.name) for name in rates if name != OPENAI_AGENTS.name]
    writing = Case("append", "many", {"writers": WRITERS}, [], comparisons)
    reading = Case("read", "read", {}, [])
    cases = [
        CaseResult(writing, [ContenderResult(name, [sample(rate, 1.0)]) for name, rate in rates.items()]),
        CaseResult(reading, [ContenderResult(OWN["redis-py"].name, [sample(100, p50_ms)])]),
    ]
    books = Findings(accounts={OWN["redis-py"].name: [Account(10, 10 - lost, lost, 0, 0, 0)]})
    findings = {"many": books, "read": Findings(readings={OWN["redis-py"].name: [Reading(115, 7_500)]})}
    return PeersReport(Report({}, {}, cases, 1.0), [], {}, findings)


@pytest.mark.parametrize("kept", [True, False])
def test_promises_are_told_as_kept_or_not(kept: bool) -> None:
    """A ratio of 20 keeps its promise, one of 19.9 does not; nor does one lost message, or a read of 5.1 ms."""
    own = OWN["redis-py"].name
    rates = {own: 20_000.0 if kept else 19_900.0, OPENAI_AGENTS.name: 1_000.0}
    promises = invented(rates, lost=0 if kept else 1, p50_ms=5.0 if kept else 5.1).promises()
    assert [promise.found for promise in promises] == ([20.0, 0, 5.0] if kept else [19.9, 1, 5.1])
    assert [promise.kept for promise in promises] == [kept] * 3
    assert promises[0].text == f"many: {own} : {OPENAI_AGENTS.name} at least 20"


def test_nothing_starts_for_a_peer_that_is_not_there() -> None:
    """A missing environment is told before any server runs."""
    progress = Silence()
    absent = dataclasses.replace(careless(), environment="nobody-made-this")
    with pytest.raises(PeerMissing):
        run([absent], Options(scenarios=[], rounds=1, seconds=0.1), progress)
    assert progress.announced == 0
