"""Carries out one attack on a real sidecar, with a witness beside it, and measures: memory, descriptors, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.hostile.attacks import (
    BIG,
    BIG_BYTES,
    LONG,
    LONG_MESSAGE_BYTES,
    LONG_MESSAGES,
    MEDIUM,
    MEDIUM_BYTES,
    MEMORIES,
    MEMORY_BYTES,
    Attack,
    memory,
)
from tests.hostile.crowd import Crowd
from tests.hostile.differential import Control
from tests.hostile.gauges import MEGABYTE, Gauges
from tests.hostile.witness import Witness
from tests.support.children import StartRedis, StartSidecar

FIRST_ROUNDS = 3
"""Rounds of the witness before the attack begins: then its connections are up."""

PRESSED_ROUNDS = 20
"""Rounds of the witness under full pressure: long enough for every buffer to fill."""

ROUNDS_LIMIT_S = 90.0
"""Longest time for those rounds; without an attack they take half a second."""

PROMPT_MS = 5_000.0
"""Longest that the witness may wait for one answer: the default time limit of a MEM command, after which an innocent
client would get an error. What is usual is in the numbers."""

GIVEN_BACK_LIMIT_S = 20.0
"""Longest time until everything is given back; commands of a client that has left may wait for five seconds."""

SPARE_FILES = 32
"""Descriptors that may stay: connections of flushes and health checks, of which a pool keeps this many."""

DEFINITIONS = """\
definitions:
  - id: long
    max_tokens: null
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack did. Memory is what came on top of what the sidecar had before."""

    name: str
    clients: int
    requests: int
    seconds: float
    peak_bytes: int
    bound_bytes: int
    after_bytes: int
    witness_rounds: int
    witness_worst_ms: float
    machine_worst_ms: float
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.name:<20} {self.clients:>5} clients {self.requests:>8} requests {self.seconds:6.1f} s  "
            f"peak {self.peak_bytes / MEGABYTE:7.1f} of {self.bound_bytes / MEGABYTE:7.1f} MB, "
            f"after {self.after_bytes / MEGABYTE:6.1f} MB  "
            f"witness {self.witness_worst_ms:7.1f} ms (Redis {self.machine_worst_ms:5.1f} ms)"
        )


class Arena:
    """A Redis filled with what attackers ask for, and a new sidecar for every attack.

    A new one, because memory that an earlier attack made it reserve would hide what the next one costs.

    Args:
        redis: empty.
        start_sidecar: starts a sidecar in front of it.
    """

    def __init__(self, redis: RedisServer, start_sidecar: Callable[[], SidecarProcess]) -> None:
        self._redis, self._start_sidecar = redis, start_sidecar
        sidecar = start_sidecar()
        with _asking(sidecar) as control:
            control.ask(b"SET", BIG, b"x" * BIG_BYTES)
            control.ask(b"SET", MEDIUM, b"x" * MEDIUM_BYTES)
            for number in range(MEMORIES):
                control.ask(b"MEMAPPEND", memory(number), b"user", b"some words " * (MEMORY_BYTES // 11))
            messages = [b"user", b"a word " * (LONG_MESSAGE_BYTES // 7)] * LONG_MESSAGES
            control.ask(b"MEMAPPEND", LONG, *messages)
        sidecar.stop()

    def perform(self, attack: Attack, clients: int) -> Outcome:
        """Carry out one attack and return what it did; problems are in the outcome."""
        begun = time.monotonic()
        problems: list[str] = []
        sidecar = self._start_sidecar()
        gauges = Gauges(sidecar.pid)
        files = gauges.files
        with Witness(sidecar=sidecar.port, redis=self._redis.port) as witness, Crowd(sidecar.port) as crowd:
            sidecar.becomes(lambda: witness.rounds >= FIRST_ROUNDS, limit_s=ROUNDS_LIMIT_S)
            before = gauges.memory_bytes
            gauges.forget_peak()
            requests = attack.run(crowd, clients)
            target = witness.rounds + PRESSED_ROUNDS
            if not sidecar.becomes(lambda: witness.rounds >= target, limit_s=ROUNDS_LIMIT_S):
                problems.append(f"the witness got no {PRESSED_ROUNDS} rounds of answers within {ROUNDS_LIMIT_S:g} s")
            peak = gauges.peak_bytes - before
            crowd.leave()
            testimony = witness.stop()
        if testimony.problem is not None:
            problems.append(f"the witness: {testimony.problem}")
        if testimony.worst_served_ms > PROMPT_MS:
            problems.append(f"the witness waited up to {testimony.worst_served_ms:g} ms: {testimony.worst_ms}")
        if peak > attack.bound(clients):
            problems.append(f"{peak} bytes at the peak, and the bound is {attack.bound(clients)}")
        problems += not_given_back(sidecar, files)
        after = gauges.memory_bytes - before
        if not sidecar.stop():
            problems.append("it did not stop when it was asked to")
        return Outcome(
            name=attack.name,
            clients=clients,
            requests=requests,
            seconds=time.monotonic() - begun,
            peak_bytes=peak,
            bound_bytes=attack.bound(clients),
            after_bytes=after,
            witness_rounds=testimony.rounds,
            witness_worst_ms=testimony.worst_served_ms,
            machine_worst_ms=testimony.worst_ms.get("redis", 0.0),
            problems=problems,
        )


def not_given_back(sidecar: SidecarProcess, files: int) -> Iterator[str]:
    """Tell what is left of an attack whose clients are gone; `files` descriptors were open before it."""
    gauges = Gauges(sidecar.pid)
    if not sidecar.becomes(lambda: gauges.files <= files + SPARE_FILES, limit_s=GIVEN_BACK_LIMIT_S):
        yield f"{gauges.files} descriptors are still open, and {files} were before"
    with _asking(sidecar) as control:
        health = control.ask(b"MEMHEALTH")
        assert isinstance(health, list)
        if health[1] != 1:
            yield f"MEMHEALTH answers {health}"
    yield from [line for line in sidecar.tail() if "Traceback" in line or '"level": "error"' in line][-1:]


@contextmanager
def _asking(sidecar: SidecarProcess) -> Iterator[Control]:
    control = Control(sidecar.port)
    try:
        yield control
    finally:
        control.close()


def set_up(start_redis: StartRedis, start_sidecar: StartSidecar, directory: Path) -> Arena:
    """Start the servers of an arena and fill it."""
    definitions = directory / "definitions.yaml"
    definitions.write_text(DEFINITIONS)
    redis = start_redis("--maxclients", "10000")
    return Arena(redis, lambda: start_sidecar(redis_url=redis.url, definitions=definitions))
