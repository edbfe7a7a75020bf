"""What is measured: appends to a memory by one and by many writers, and reads of the newest messages.

A memory is empty when a round of appends begins, and is looked through when it ends. The counterparts are `crew`, whose
drivers do the work, and `runner`, which lets the contenders take turns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.client import GENERATOR
from benchmarks.conversation import messages
from benchmarks.load import Sample, deal, pack
from benchmarks.peers.books import Account, audit
from benchmarks.peers.catalogue import OWN, OWN_GENERATOR
from benchmarks.peers.crew import Crew, PeerFailed
from benchmarks.peers.drivers.protocol import FILL_WRITER, Place
from benchmarks.processor_time import processor_seconds
from benchmarks.robust import percentile
from benchmarks.scenario import MEMSIDECAR, Case, Comparison, Contender, Meter
from benchmarks.stage import DEFINITION, Stage
from sidecar.tokens.vocabulary import ENCODINGS, load_encoding, vocabulary

WRITERS = 8
"""On one memory: the agents of one conversation, each in a process of its own."""

STORED, BUDGET_TOKENS = 1_000, 8_000
"""Messages of the memory that is read, and what a read may return."""

TEXTS = 8_000
"""Different texts before the circle begins anew, as in the scenario `append`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read returned: how many messages, and the tokens of their texts."""

    messages: int
    tokens: int


@dataclass(slots=True)
class Findings:
    """What was found besides the times, by contender, an entry per round."""

    accounts: dict[str, list[Account]] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)


class AppendMeter:
    """Lets every driver of a crew append, and audits the memory afterwards."""

    def __init__(self, crew: Crew, watched: dict[str, int], accounts: list[Account]) -> None:
        self._crew = crew
        self._watched = watched
        self._accounts = accounts

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `PeerFailed`."""
        writers, answers, sample = _measure(self._crew, "append", self._watched, seconds, warm_up_s)
        acknowledged = {writer: answer["acknowledged"] for writer, answer in zip(writers, answers, strict=True)}
        self._accounts.append(audit(acknowledged, self._crew.contents()))
        return sample


class ReadMeter:
    """Lets a crew's driver read over and over, and looks at what the last read returned."""

    def __init__(self, crew: Crew, watched: dict[str, int], readings: list[Reading]) -> None:
        self._crew = crew
        self._watched = watched
        self._readings = readings

    def measure(self, *, seconds: float, warm_up_s: float) -> Sample:
        """Return one measurement. Raises `PeerFailed`, also where a read returned something else than the newest."""
        _, (answer, *_), sample = _measure(self._crew, "read", self._watched, seconds, warm_up_s)
        self._readings.append(_reading(self._crew, answer["texts"]))
        return sample


def _reading(crew: Crew, texts: Sequence[str]) -> Reading:
    newest = [f"{FILL_WRITER}.{number}" for number in range(STORED)][-len(texts) :]
    if not texts or [text.partition(" ")[0] for text in texts] != newest:
        raise PeerFailed(f"{crew.peer.name} returned {len(texts)} messages that are not the newest of {STORED}")
    encoding = load_encoding(ENCODINGS[0])
    tokens = sum(len(encoding.encode_ordinary(text)) for text in texts)
    if crew.peer.cut and tokens > BUDGET_TOKENS:
        raise PeerFailed(f"{crew.peer.name} returned {tokens} tokens, more than {BUDGET_TOKENS}")
    if not crew.peer.cut and len(texts) != STORED:
        raise PeerFailed(f"{crew.peer.name} returned {len(texts)} messages of {STORED}")
    return Reading(len(texts), tokens)


def _measure(
    crew: Crew, order: str, watched: dict[str, int], seconds: float, warm_up_s: float
) -> tuple[list[str], Sequence[dict[str, Any]], Sample]:
    begin = time.monotonic() + warm_up_s
    writers = crew.begin(order, begin=begin, until=begin + seconds)
    time.sleep(max(begin - time.monotonic(), 0))
    before = _processor_times(watched)
    answers = crew.results(seconds)
    after = _processor_times(watched)
    cpu_s = {name: after[name] - before[name] for name in before}
    cpu_s[GENERATOR] = sum(answer["cpu_s"] for answer in answers)
    latencies = sorted(each for answer in answers for each in answer["latencies_ms"])
    sample = Sample(
        requests=len(latencies),
        seconds=max(answer["seconds"] for answer in answers),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        cpu_s=cpu_s,
    )
    return writers, answers, sample


def _processor_times(watched: dict[str, int]) -> dict[str, float]:
    times = {name: processor_seconds(pid) for name, pid in watched.items()}
    return {name: spent for name, spent in times.items() if spent is not None}


def place(stage: Stage, crew: Crew) -> Place:
    """Return where a crew's memory is: memsidecar's behind the sidecar, the peers' on the same Redis, each its own."""
    own = crew.peer in OWN.values()
    name = crew.peer.name.replace(" ", "-").replace(",", "")
    definition = vocabulary(ENCODINGS[0])
    return Place(
        url=stage.sidecar.url if own else stage.redis_server.url,
        memory=f"{DEFINITION}:{name}" if own else name,
        budget=BUDGET_TOKENS,
        vocabulary={
            "name": definition.name,
            "path": str(definition.path()),
            "pattern": definition.pattern,
            "special_tokens": dict(definition.special_tokens),
        },
    )


def append_case(stage: Stage, crews: Sequence[Crew], writers: int, findings: Findings) -> Case:
    """Return appends to one memory by `writers` processes, and the same number of connections of the load generator."""

    def by_generator() -> Meter:
        requests = [
            pack("MEMAPPEND", f"{DEFINITION}:generator", "assistant" if number % 2 else "user", text)
            for number, text in enumerate(messages(TEXTS))
        ]
        return stage.meter(stage.sidecar.port, 1, deal(requests, connections=writers))

    def by_crew(crew: Crew) -> Meter:
        return AppendMeter(crew, _watched(stage, crew), findings.accounts.setdefault(crew.peer.name, []))

    return Case(
        scenario="append",
        name="1 writer, a memory of its own" if writers == 1 else f"{writers} writers, one memory",
        parameters={"writers": writers},
        contenders=[*_contenders(crews, by_crew), Contender(OWN_GENERATOR, by_generator)],
        comparisons=_comparisons(crews),
        prepare=stage.empty,
    )


def read_case(stage: Stage, crews: Sequence[Crew], findings: Findings) -> Case:
    """Return reads of the newest messages of a memory; those that know no budget read all of it."""

    def set_up() -> None:
        stage.empty()
        for crew in crews:
            crew.fill(STORED)

    def by_generator() -> Meter:
        filled = place(stage, next(crew for crew in crews if crew.peer in OWN.values())).memory
        request = pack("MEMREAD", filled, "TOKENS", BUDGET_TOKENS, "FORMAT", "OPENAI")
        return stage.meter(stage.sidecar.port, 1, [[request]])

    def by_crew(crew: Crew) -> Meter:
        return ReadMeter(crew, _watched(stage, crew), findings.readings.setdefault(crew.peer.name, []))

    return Case(
        scenario="read",
        name=f"the newest {BUDGET_TOKENS:,} tokens of {STORED:,} messages",
        parameters={"messages": STORED, "tokens": BUDGET_TOKENS},
        contenders=[*_contenders(crews, by_crew), Contender(OWN_GENERATOR, by_generator)],
        comparisons=_comparisons(crews),
        set_up=set_up,
    )


def _watched(stage: Stage, crew: Crew) -> dict[str, int]:
    """Return whose CPU time a crew's work costs: the sidecar idles while a peer talks to Redis."""
    return {name: pid for name, pid in stage.watched().items() if name != MEMSIDECAR or crew.peer in OWN.values()}


def _contenders(crews: Sequence[Crew], meter: Callable[[Crew], Meter]) -> list[Contender]:
    return [Contender(crew.peer.name, partial(meter, crew)) for crew in crews]


def _comparisons(crews: Sequence[Crew]) -> list[Comparison]:
    """Return memsidecar : peer for every peer, with either client and with the load generator."""
    subjects = [*(own.name for own in OWN.values()), OWN_GENERATOR]
    peers = [crew.peer for crew in crews if crew.peer not in OWN.values()]
    return [Comparison(subject, peer.name) for peer in peers for subject in subjects]


def write_texts(path: Path) -> None:
    """Write the texts that the drivers make their messages of, as JSON."""
    path.write_text(json.dumps(messages(TEXTS)), encoding="utf-8")
