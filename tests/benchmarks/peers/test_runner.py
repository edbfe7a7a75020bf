"""A whole run against a peer, without any of the peers' packages."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.harness import Options
from benchmarks.peers.catalogue import LEFT_OUT, OPENAI_AGENTS
from benchmarks.peers.crew import PeerMissing
from benchmarks.peers.runner import run
from benchmarks.peers.tables import for_markdown, sheets
from tests.benchmarks.peers.crews import careless


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
    report = run([peer], Options(scenarios=[], rounds=1, seconds=0.2), progress)
    assert progress.announced == progress.done > 0

    report.write(tmp_path / "made" / "peers.json")
    content = json.loads((tmp_path / "made" / "peers.json").read_text(encoding="utf-8"))
    own, generator = "memsidecar, redis-py asyncio", "memsidecar, load generator"
    for case in content["cases"]:
        compared = [(ratio["subject"], ratio["reference"]) for ratio in case["ratios"]]
        assert compared == [(own, peer.name), (generator, peer.name)]
        assert all(contender["rate"]["median"] > 0 for contender in case["contenders"])
    single, contended, reading = content["found"].values()
    assert single["accounts"][peer.name][0]["lost"] > 0
    assert contended["accounts"][own][0]["acknowledged"] == contended["accounts"][own][0]["stored"] > 0
    assert reading["readings"][own][0]["tokens"] <= 8_000 < reading["readings"][peer.name][0]["tokens"]
    assert {each["name"] for each in content["left_out"]} == {each.name for each in LEFT_OUT}

    promised = {promise["text"]: promise for promise in content["promises"]}
    (least,) = (text for text in promised if "8 writers" in text and own in text and "at least 20" in text)
    assert promised[least]["kept"] is (promised[least]["found"] >= 20)
    assert all(promise["kept"] for text, promise in promised.items() if "lost, doubled" in text)
    assert sum("p50 at most 5 ms" in text for text in promised) == 3

    text = for_markdown(report)
    for sheet in sheets(report):
        assert f"### {sheet.title}" in text
        assert all(len(row) == len(sheet.head) for row in sheet.rows)
    assert f" / {contended['accounts'][peer.name][0]['lost']:,} / 0 / 0 | no order | lost |" in text


def test_nothing_starts_for_a_peer_that_is_not_there() -> None:
    """A missing environment is told before any server runs."""
    progress = Silence()
    absent = dataclasses.replace(careless(), environment="nobody-made-this")
    with pytest.raises(PeerMissing):
        run([absent], Options(scenarios=[], rounds=1, seconds=0.1), progress)
    assert progress.announced == 0
