"""Worker processes of job queues, which know nothing of the sidecar but its address.

Ready means: blocked in a command on a queue, as the Redis behind the sidecar sees it. So a job that is sent
afterwards proves that a waiting worker is woken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from sidecar.dev.processes import ChildProcess

BLOCKING = {"blmove", "blpop", "brpop", "brpoplpush", "bzpopmin"}
"""Commands in which workers wait for a job."""


class QueueWorker(ChildProcess):
    """One worker process of a job queue."""

    ready_sign = "it does not wait for jobs in a blocking command"

    def __init__(
        self, name: str, command: Sequence[str | Path], *, behind: redis.Redis, env: Mapping[str, str] | None = None
    ) -> None:
        """`command` starts with an absolute path; `behind` is the Redis behind the sidecar."""
        super().__init__(name, env=env)
        self._command = command
        self._behind = behind

    def command(self) -> Sequence[str | Path]:
        return self._command

    def is_ready(self) -> bool:
        return waiting(self._behind) > 0


def waiting(behind: redis.Redis) -> int:
    """Return how many clients of `behind` wait in a blocking command for a job."""
    return sum(found["cmd"] in BLOCKING and "b" in found["flags"] for found in behind.client_list())
