"""A client that does nothing wrong while others attack: are its answers right, and how long does it wait?

It is a process of its own, so that the attackers' processor time in ours is not counted as the sidecar's. Beside the
sidecar it asks Redis directly, whose worst time tells what the machine itself added. `Witness` starts and reads it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.differential import WITNESS, Control

PAUSE_S = 0.005
"""Between two rounds: it is to notice, not to load."""

CLEAR_EVERY = 200
"""Rounds after which its memory is cleared, so that reading it stays equally cheap."""

CONNECT_LIMIT_S = 20.0
"""A sidecar that was ready listens again by then."""

STOP_LIMIT_S = 30.0
"""A witness that is not back by then waits for an answer that does not come."""


@dataclass(frozen=True, slots=True)
class Testimony:
    """What a witness has seen: rounds of commands answered rightly, and the longest time per kind in milliseconds."""

    rounds: int
    worst_ms: dict[str, float]
    problem: str | None

    @property
    def worst_served_ms(self) -> float:
        """Longest time that the sidecar took for anything."""
        return max((ms for kind, ms in self.worst_ms.items() if kind != "redis"), default=0.0)


class Witness:
    """One witness from its start to its testimony; a context manager, so that none is left behind.

    Args:
        sidecar: port of the sidecar.
        redis: port of the Redis behind it.
    """

    def __init__(self, *, sidecar: int, redis: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.witness", str(sidecar), str(redis)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self.rounds = 0
        self._last = b""
        self._reader = threading.Thread(target=self._read, name="witness-output", daemon=True)
        self._reader.start()

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()

    def stop(self) -> Testimony:
        """End it and return what it has seen."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            return Testimony(self.rounds, {}, f"no answer to the witness within {STOP_LIMIT_S:g} s")
        self._reader.join()
        seen = json.loads(self._last)
        return Testimony(seen["rounds"], seen["worst_ms"], seen["problem"])

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._last = line
                self.rounds = json.loads(line)["rounds"]


class _Rounds:
    """Runs in the process of the witness."""

    def __init__(self, sidecar: int, redis: int) -> None:
        self._sidecar, self._redis = Control(sidecar), Control(redis)
        self.rounds = 0
        self.worst_ms: dict[str, float] = {}
        self.problem: str | None = None
        self._sidecar.ask(b"MEMCLEAR", WITNESS)  # an earlier witness may have left messages

    def report(self) -> None:
        facts = {"rounds": self.rounds, "worst_ms": self.worst_ms, "problem": self.problem}
        print(json.dumps(facts), flush=True)

    def go(self) -> None:
        number = b"%d" % self.rounds
        self._timed("redis", lambda: self._redis.ask(b"PING"), b"PONG")
        self._timed("ping", lambda: self._sidecar.ask(b"PING"), b"PONG")
        self._timed("set", lambda: self._sidecar.ask(b"SET", WITNESS, number), b"OK")
        self._timed("get", lambda: self._sidecar.ask(b"GET", WITNESS), number)
        self._timed("append", lambda: self._field(b"appended", b"MEMAPPEND", WITNESS, b"user", number), 1)
        self._timed("read", lambda: self._newest(), number)
        if self.rounds % CLEAR_EVERY == CLEAR_EVERY - 1:
            self._timed("clear", lambda: self._sidecar.ask(b"MEMCLEAR", WITNESS), CLEAR_EVERY)
        self.rounds += 1

    def _newest(self) -> object:
        messages = self._field(b"messages", b"MEMREAD", WITNESS, b"COUNT", b"1")
        assert isinstance(messages, list)
        return messages[0][5]

    def _field(self, name: bytes, *words: bytes) -> object:
        reply = self._sidecar.ask(*words)
        assert isinstance(reply, list)
        return reply[reply.index(name) + 1]

    def _timed(self, kind: str, ask: Callable[[], object], right: object) -> None:
        begun = time.perf_counter()
        try:
            answer = ask()
        except OSError as problem:
            waited = time.perf_counter() - begun
            raise ConnectionError(f"{kind} was not answered ({problem}, after {waited:.1f} s)") from problem
        took = round((time.perf_counter() - begun) * 1000, 3)
        self.worst_ms[kind] = max(self.worst_ms.get(kind, 0.0), took)
        if answer != right:
            raise ValueError(f"{kind} was answered with {answer!r:.200} instead of {right!r}")


def _begun(sidecar: int, redis: int, ended: threading.Event) -> _Rounds:
    """Connect. On a busy machine a sidecar may find Redis too slow for a moment, and does not listen then."""
    until = time.monotonic() + CONNECT_LIMIT_S
    while True:
        try:
            return _Rounds(sidecar, redis)
        except ConnectionRefusedError:
            if time.monotonic() > until or ended.wait(PAUSE_S):
                raise


def main(sidecar: int, redis: int) -> None:
    """Go round until standard input ends; a line of facts after each round."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    rounds = _begun(sidecar, redis, ended)
    try:
        while not ended.wait(PAUSE_S):
            rounds.go()
            rounds.report()
    except Exception as problem:  # whatever goes wrong is the finding
        rounds.problem = f"{type(problem).__name__}: {problem}"
        rounds.report()
        ended.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
