"""A run against the peers: servers, crews, interleaved rounds, and whether memsidecar keeps what it promises.

The counterparts are `work` (what is measured), `..harness` (the rounds) and `tables` (what people see).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.facts import facts
from benchmarks.harness import Options, Progress, run_case
from benchmarks.peers.catalogue import LEFT_OUT, OPENAI_AGENTS, OWN, OWN_GENERATOR, Peer
from benchmarks.peers.crew import Crew, PeerMissing
from benchmarks.peers.work import WRITERS, Findings, append_case, place, read_case, write_texts
from benchmarks.results import CaseResult, ContenderResult, Report
from benchmarks.robust import spread
from benchmarks.stage import Stage

MOST_READ_MS = 5.0
"""What a read of 8,000 tokens out of 1,000 messages may take (p50), with redis-py until there is a list of messages."""

LEAST_RATIOS = {1: 5.0, WRITERS: 20.0}
"""memsidecar : the OpenAI Agents SDK's session, by writers on one memory. Told for either client and for the load
generator, because a client may cost more than such a ratio leaves."""

WORKS = 3
"""Appends by one writer, appends by many, reads."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that memsidecar is to keep, and what was found: medians of the rounds."""

    text: str
    found: float
    kept: bool


@dataclass(slots=True)
class PeersReport:
    """What a run found.

    Args:
        report: rates, times and ratios, as of any benchmark.
        peers: who took part, memsidecar included, in the order of the rounds.
        versions: of each one's packages, by its name.
        findings: accounts and readings, by the name of the case.
    """

    report: Report
    peers: list[Peer]
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: dict[str, Findings] = field(default_factory=dict)

    def promises(self) -> list[Promise]:
        """Return what can be said of memsidecar's promises after this run."""
        return [promise for case in self.report.cases for promise in _promises(case, self.findings[case.case.name])]

    def write(self, path: Path) -> None:
        """Write the JSON: that of `Report`, and `peers`, `left_out`, `found` and `promises` besides."""
        content = json.loads(self.report.to_json())
        content["peers"] = [_peer(peer, self.versions[peer.name]) for peer in self.peers]
        content["left_out"] = [asdict(each) for each in LEFT_OUT]
        content["found"] = {name: asdict(findings) for name, findings in self.findings.items()}
        content["promises"] = [asdict(promise) for promise in self.promises()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def run(peers: Sequence[Peer], options: Options, progress: Progress, *, writers: int = WRITERS) -> PeersReport:
    """Measure memsidecar and `peers`, also with `writers` on one memory.

    Raises:
        PeerMissing: a peer's environment is not there.
        PeerFailed: a peer answered an error, or something that cannot be right.
        DevProblem: a server is missing or does not start.
        LoadFailed: memsidecar did not answer the load generator as expected.
    """
    for peer in peers:
        if not peer.python.exists():
            raise PeerMissing(peer)
    begun = monotonic()
    turns = _turns(peers)
    progress.begin((len(turns) + 1) * WORKS * options.rounds)
    found: dict[str, Findings] = {}
    versions: dict[str, dict[str, str]] = {}
    with Stage() as stage, tempfile.TemporaryDirectory(prefix="memsidecar-peers-") as directory:
        known = facts(stage)
        texts = Path(directory) / "texts.json"
        write_texts(texts)
        results: list[CaseResult] = []
        for appending in (1, writers, None):
            with ExitStack() as running:
                crews = [running.enter_context(Crew(peer, appending or 1)) for peer in turns]
                versions = {crew.peer.name: crew.versions for crew in crews}
                for crew in crews:
                    crew.open(place(stage, crew), texts)
                findings = Findings()
                case = (
                    append_case(stage, crews, appending, findings) if appending else read_case(stage, crews, findings)
                )
                results.append(run_case(case, options, progress))
                found[case.name] = findings
    parameters: dict[str, object] = {"rounds": options.rounds, "seconds": options.seconds, "writers": writers}
    return PeersReport(Report(known, parameters, results, round(monotonic() - begun, 1)), turns, versions, found)


def _turns(peers: Sequence[Peer]) -> list[Peer]:
    """Return the order within a round: memsidecar right after the first peer of either client."""
    turns = list(peers)
    for client, own in OWN.items():
        first = next((number for number, peer in enumerate(turns) if peer.client == client), len(turns) - 1)
        turns.insert(first + 1, own)
    return turns


def _promises(result: CaseResult, findings: Findings) -> Iterator[Promise]:
    writers = result.case.parameters.get("writers")
    if isinstance(writers, int) and (least := LEAST_RATIOS.get(writers)):
        for ratio in result.compared():
            if ratio.comparison.reference == OPENAI_AGENTS.name:
                text = f"{result.case.name}: {ratio.comparison.subject} : {OPENAI_AGENTS.name} at least {least:g}"
                yield Promise(text, ratio.spread.median, ratio.spread.median >= least)
    for own in OWN.values():
        for name, accounts in findings.accounts.items():
            if name == own.name:
                wrong = sum(not account.right for account in accounts)
                text = f"{result.case.name}: {name}: rounds with a message lost, doubled or out of order: 0"
                yield Promise(text, wrong, wrong == 0)
    if findings.readings:
        for contender in result.contenders:
            if contender.name in {OWN_GENERATOR, *(own.name for own in OWN.values())}:
                time_ms = _p50_ms(contender)
                text = f"{result.case.name}: {contender.name}: p50 at most {MOST_READ_MS:g} ms"
                yield Promise(text, time_ms, time_ms <= MOST_READ_MS)


def _p50_ms(contender: ContenderResult) -> float:
    return spread([sample.p50_ms for sample in contender.rounds if sample.p50_ms is not None]).median


def _peer(peer: Peer, versions: dict[str, str]) -> dict[str, Any]:
    return {
        "name": peer.name,
        "client": peer.client,
        "versions": versions,
        "guarantees": asdict(peer.guarantees),
        "source": peer.source,
        "note": peer.note,
    }
