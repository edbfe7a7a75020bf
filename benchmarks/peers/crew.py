"""The processes of one peer: starts its drivers, hands them orders, and takes their answers.

The counterpart is `drivers.protocol`, which says what orders there are. What is measured is decided in `work`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.catalogue import ROOT, Peer
from benchmarks.peers.drivers.protocol import Place

START_LIMIT_S = 60.0
"""For importing a library, eight times at once, on a machine with two cores."""

ANSWER_LIMIT_S = 120.0
"""On top of what was ordered. LlamaIndex needs seconds for one read, and more on a slow machine."""

STOP_LIMIT_S = 5.0
"""A driver has nothing to finish when its input ends."""

TAIL_CHARACTERS = 2_000
"""Of what a driver printed, in an error: the end of a traceback."""


class PeerFailed(Exception):
    """A driver answered an error, ended, or said nothing."""


class PeerMissing(Exception):
    """A peer's environment is not there."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(f"{peer.name} is not installed: there is no {peer.python}. `make bench-peers` installs it.")


class DriverProcess:
    """One driver; ended by `close`."""

    def __init__(self, peer: Peer) -> None:
        """Start it. Raises `PeerMissing`."""
        if not peer.python.exists():
            raise PeerMissing(peer)
        self._name = peer.name
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        # A session of its own: Ctrl-C reaches us alone, and the end of its input ends it.
        self._process = subprocess.Popen(
            peer.command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            start_new_session=True,
        )
        self._answers: Queue[bytes] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, order: str, **fields: object) -> None:
        """Give an order, and do not wait for its answer. Raises `PeerFailed`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": order, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as problem:
            raise PeerFailed(self._text("has ended")) from problem

    def answer(self, limit_s: float) -> dict[str, Any]:
        """Return the answer to the oldest order that has none yet. Raises `PeerFailed`."""
        try:
            line = self._answers.get(timeout=limit_s)
        except Empty:
            raise PeerFailed(self._text(f"said nothing for {limit_s:g} s")) from None
        if not line:
            raise PeerFailed(self._text("has ended"))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the driver."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(STOP_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._printed.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._answers.put(line)
        self._answers.put(b"")

    def _text(self, what: str) -> str:
        self._printed.seek(0)
        printed = self._printed.read().decode("utf-8", "replace").strip()[-TAIL_CHARACTERS:]
        return f"the driver of {self._name} {what}" + (f"; it printed:\n{printed}" if printed else "")


class Crew:
    """Several drivers of one peer, on one memory; a context manager.

    Attributes: `peer`; `versions` of its packages, once it was entered.
    """

    def __init__(self, peer: Peer, size: int) -> None:
        self.peer = peer
        self.versions: dict[str, str] = {}
        self._size = size
        self._drivers: list[DriverProcess] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._size):
                self._drivers.append(DriverProcess(self.peer))
            self._tell("hello", packages=list(self.peer.packages))
            self.versions = self._hear(START_LIMIT_S)[0]["packages"]
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def open(self, place: Place, texts: Path) -> None:
        """Let every driver open the memory. Raises `PeerFailed`."""
        self._tell("open", place=asdict(place), texts=str(texts))
        self._hear(ANSWER_LIMIT_S)

    def fill(self, count: int) -> None:
        """Put `count` messages into the memory. Raises `PeerFailed`."""
        self._drivers[0].send("extend", count=count)
        self._drivers[0].answer(ANSWER_LIMIT_S)

    def contents(self) -> list[str]:
        """Return the marks of all messages of the memory. Raises `PeerFailed`."""
        self._drivers[0].send("contents")
        marks: list[str] = self._drivers[0].answer(ANSWER_LIMIT_S)["marks"]
        return marks

    def begin(self, order: str, *, begin: float, until: float) -> list[str]:
        """Let every driver do something over and over (see `drivers.protocol`); return the writers' names."""
        writers = [f"w{number}" for number in range(self._size)]
        for driver, writer in zip(self._drivers, writers, strict=True):
            fields: dict[str, object] = {"writer": writer} if order == "append" else {}
            driver.send(order, begin=begin, until=until, **fields)
        return writers

    def results(self, seconds: float) -> Sequence[dict[str, Any]]:
        """Return what the drivers answer to `begin`. Raises `PeerFailed`."""
        return self._hear(seconds + ANSWER_LIMIT_S)

    def _tell(self, order: str, **fields: object) -> None:
        for driver in self._drivers:
            driver.send(order, **fields)

    def _hear(self, limit_s: float) -> list[dict[str, Any]]:
        return [driver.answer(limit_s) for driver in self._drivers]

    def _close(self) -> None:
        for driver in self._drivers:
            driver.close()
