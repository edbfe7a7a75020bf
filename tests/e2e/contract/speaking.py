"""redis-py as the one who speaks in a dialogue."""

from __future__ import annotations

import itertools
from typing import Any

import redis

from sidecar.dev.servers import SidecarProcess
from tests.e2e.dialogue import Dialogue, Refusal, Rehearsal, Reply

START_LIMIT_S = 60.0
"""For a sidecar that many tests share: a start that other work on the machine has made slow must not fail them all."""


def when_ready(sidecar: SidecarProcess) -> SidecarProcess:
    """Wait until a sidecar that was started without waiting accepts connections, and return it."""
    assert sidecar.becomes(sidecar.is_ready, limit_s=START_LIMIT_S), "the sidecar does not accept connections"
    return sidecar


class Speaker:
    """A client of redis-py that stays on one connection, as MEMCONTEXT and transactions want it.

    Args:
        port: the sidecar's.
        protocol: 2 or 3.
    """

    _keys = itertools.count()

    def __init__(self, port: int, protocol: int) -> None:
        self.protocol = protocol
        self._client = redis.Redis(port=port, protocol=protocol, decode_responses=True, single_connection_client=True)

    def ask(self, *words: str | bytes) -> Reply:
        """Send one command and return its reply, or its error as it came over the wire."""
        try:
            reply: Any = self._client.execute_command(*words)  # type: ignore[no-untyped-call]
        except redis.ResponseError as problem:
            return refusal(problem)
        return reply

    def map(self, *words: str) -> dict[str, Any]:
        """Send a command whose reply is a map, and return it as one on either protocol."""
        reply = self.ask(*words)
        return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))

    def key(self, definition: str = "") -> str:
        """Return a key that nobody has used, so that no flush of an earlier test is about it."""
        return f"{definition}{definition and ':'}m{next(self._keys)}"

    def hold(self, dialogue: Dialogue) -> None:
        """Go through a dialogue."""
        rehearsal = Rehearsal(self.protocol, self.key())
        for step in dialogue.steps:
            rehearsal.check(step, self.ask(*rehearsal.words(step)))

    def close(self) -> None:
        self._client.close()


def refusal(problem: redis.ResponseError) -> Refusal:
    """Return an error as it came over the wire: redis-py takes a first word that it knows off the text."""
    return Refusal(f"{problem.status_code} {problem}" if problem.status_code else str(problem))
