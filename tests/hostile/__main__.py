"""The long run: every attack at full size, then mutated streams until the time is over.

    python -m tests.hostile [--seconds 600] [--seed 1] [--attack NAME ...] [--no-streams]

It starts and stops its own servers. One line per attack while it runs; at the end what was thrown, the most memory, the
longest wait of the witness and every finding. The exit code is 0 without a finding and 1 with one. A seed repeats the
streams of an earlier run; each finding names the seed of its own stream, and

    python -m tests.hostile --seed SEED --seconds 1

throws that one first. Thousands of clients need about 5 GB of memory and 16,000 open files. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from sidecar.dev.binaries import find_redis_server
from sidecar.dev.servers import RedisServer
from tests.hostile.arena import Outcome, set_up
from tests.hostile.attacks import ATTACKS
from tests.hostile.differential import Pair
from tests.hostile.gauges import MEGABYTE, Gauges, allow_open_files
from tests.hostile.streams import make_stream
from tests.hostile.witness import Testimony, Witness
from tests.support.children import Children, StartRedis, StartSidecar

DEFAULT_SECONDS = 600.0

PASSWORD = "secret"
"""The password that the grammar of `streams` knows."""

MAX_FINDINGS = 20
"""Findings after which no more streams are thrown: they are likely the same one."""


class Run:
    """One long run and what it has found."""

    def __init__(self, directory: Path, children: Children) -> None:
        self.start_redis = StartRedis(children, directory, find_redis_server(None))
        self.start_sidecar = StartSidecar(children)
        self.directory = directory
        self.findings: list[str] = []
        self.outcomes: list[Outcome] = []
        self.streams = 0
        self.stream_bytes = 0

    def attack(self, names: list[str]) -> None:
        """Carry out the attacks of these names; all of them if there is none."""
        arena = set_up(self.start_redis, self.start_sidecar, self.directory)
        for attack in ATTACKS:
            if names and attack.name not in names:
                continue
            outcome = arena.perform(attack, attack.clients[1])
            self.outcomes.append(outcome)
            self.findings += [f"{attack.name}: {problem}" for problem in outcome.problems]
            print(outcome, *outcome.problems, sep="\n    ", flush=True)

    def throw(self, seed: int, seconds: float) -> None:
        """Throw streams, with and without a password on Redis, while a witness looks on."""
        open_pair, redis, sidecar_pid, sidecar_port = self._pair(None)
        closed_pair, *_ = self._pair(PASSWORD)
        gauges = Gauges(sidecar_pid)
        with Witness(sidecar=sidecar_port, redis=redis.port) as witness:
            before = gauges.memory_bytes
            gauges.forget_peak()
            ends = time.monotonic() + seconds
            first = seed
            while self.streams == 0 or (time.monotonic() < ends and len(self.findings) < MAX_FINDINGS):
                self._throw_one(open_pair, seed)
                self._throw_one(closed_pair, seed)
                seed += 1
            growth = gauges.peak_bytes - before
            testimony = witness.stop()
        self._tell(first, seed, growth, testimony)

    def _throw_one(self, pair: Pair, seed: int) -> None:
        random = Random(seed)
        stream = make_stream(random, ours=random.random() < 0.6, mutated=random.random() < 0.8)
        self.streams += 1
        self.stream_bytes += len(stream.data)
        difference = pair.difference(stream)
        if difference is not None:
            self.findings.append(f"stream of seed {seed}: {difference}")
            print(self.findings[-1], flush=True)

    def _tell(self, first: int, last: int, growth: int, testimony: Testimony) -> None:
        if testimony.problem is not None:
            self.findings.append(f"the witness of the streams: {testimony.problem}")
        print(
            f"streams: {self.streams} ({self.stream_bytes / MEGABYTE:.0f} MB, seeds {first} to {last - 1}), "
            f"peak {growth / MEGABYTE:.1f} MB, witness {testimony.worst_served_ms:g} ms "
            f"(Redis {testimony.worst_ms.get('redis', 0.0):g} ms)"
        )

    def _pair(self, password: str | None) -> tuple[Pair, RedisServer, int, int]:
        options = ("--requirepass", password) if password else ()
        alone, behind = self.start_redis(*options), self.start_redis(*options)
        url = behind.url.replace("redis://", f"redis://:{password}@") if password else behind.url
        sidecar = self.start_sidecar(redis_url=url)
        pair = Pair(alone=alone.port, sidecar=sidecar.port, behind=behind.port, password=password)
        return pair, behind, sidecar.pid, sidecar.port

    def summary(self) -> str:
        """Return the numbers of the whole run."""
        requests = sum(outcome.requests for outcome in self.outcomes) + self.streams
        lines = [f"requests thrown: {requests}, of them {self.streams} streams compared with Redis"]
        if self.outcomes:
            most = max(self.outcomes, key=lambda outcome: outcome.peak_bytes)
            slowest = max(self.outcomes, key=lambda outcome: outcome.witness_worst_ms)
            lines += [
                f"connections of the attacks: {sum(outcome.clients for outcome in self.outcomes)}",
                f"most memory: {most.peak_bytes / MEGABYTE:.0f} MB more ({most.name})",
                f"longest wait of the witness: {slowest.witness_worst_ms:g} ms ({slowest.name})",
            ]
        lines.append(f"findings: {len(self.findings)}")
        return "\n".join([*lines, *(f"- {finding:.300}" for finding in self.findings)])


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, help="length of the whole run")
    parser.add_argument("--seed", type=int, default=None, help="of the first stream; by default the time")
    parser.add_argument("--attack", action="append", default=[], help="only this one; repeatable; 'none' for none")
    parser.add_argument("--no-streams", action="store_true", help="attacks only")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    begun = time.monotonic()
    print(f"seed {seed}, up to {allow_open_files()} open files")
    children = Children()
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), children)
        try:
            if options.attack != ["none"]:
                run.attack(options.attack)
            if not options.no_streams:
                run.throw(seed, options.seconds - (time.monotonic() - begun))
        finally:
            with contextlib.redirect_stdout(io.StringIO()):  # their last lines are for pytest
                children.stop_all()
    print(run.summary())
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
