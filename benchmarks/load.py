"""What a load generator is told, and what it reports. Plain values: they travel between processes.

The counterparts are `client`, which carries a load out, and `redis_benchmark`, which reports in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import hiredis

NUMBER = b"<<number>>"
"""Stands in a request for a number of ten digits that rises with every request of a connection. Where one request
has it, all of them have it once. The append script takes no batch whose number is not above the last one's."""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests for one server on 127.0.0.1.

    Args:
        port: where it listens.
        pipeline: requests that a connection sends at once; the next ones follow when all are answered.
        requests: for each connection the packed requests that it sends, in a circle. All of them must get replies
            with the same number of lines, and their number must be a multiple of `pipeline`. They may hold `NUMBER`.
        watched: process ids, by name, whose CPU time is wanted.
    """

    port: int
    pipeline: int
    requests: Sequence[Sequence[bytes]]
    watched: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    Args:
        requests: how many were answered in the window.
        seconds: length of the window.
        p50_ms, p99_ms: time from sending a pipeline to the last of its replies; None where the generator does not say.
        cpu_s: CPU time spent in the window, by process (`generator` and those watched); empty where nobody can tell.
        answered: how many were answered in all, those before the window and after it too; None where the generator does
            not say.
    """

    requests: int
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_s: dict[str, float] = field(default_factory=dict)
    answered: int | None = None

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def pack(*words: str | bytes | int) -> bytes:
    """Return a request in the form that clients send, an array of bulk strings."""
    packed: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]
    return packed


def deal(requests: Sequence[bytes], *, connections: int) -> list[Sequence[bytes]]:
    """Share requests out to connections in turn, so that neighbours are sent at about the same time."""
    return [requests[number::connections] for number in range(connections)]
