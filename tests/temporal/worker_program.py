"""A worker as a program of its own, for tests that kill or freeze one: `python -m tests.temporal.worker_program`.

The real steps over a real Redis, except that the step named by `--hold` announces itself on Redis and then does
not end, so that a test can strike at a known moment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from redis.asyncio import Redis

from sidecar.dev.processes import ChildProcess
from sidecar.flush.steps import FlushSteps
from sidecar.flush.ticket import Ticket
from sidecar.memory.ports import FlushOutcome
from sidecar.metrics import Metrics
from sidecar.store.flush_store import FlushStore
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.worker import READY, run_worker
from tests.flush.memories import DEFINITIONS, SPACE, NotingSummariser, WordCounter

HELD = "held-by-a-worker"
"""Redis key that holds the name of the step which has come to stand still."""

STEPS = ("summarise", "commit")


class WorkerProgram(ChildProcess):
    """The program as a child of a test."""

    def __init__(self, *, redis_url: str, address: str, task_queue: str, hold: str | None = None) -> None:
        """`hold` is one of `STEPS`, or None for a worker that simply works."""
        super().__init__("worker program", env={"PYTHONUNBUFFERED": "1"})
        self._arguments = ["--redis", redis_url, "--temporal", address, "--task-queue", task_queue]
        if hold is not None:
            self._arguments += ["--hold", hold]

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "tests.temporal.worker_program", *self._arguments]

    def is_ready(self) -> bool:
        return self.has_printed(READY)


class HeldSteps(FlushSteps):
    """The real steps, of which one stands still."""

    def __init__(self, redis: Redis, hold: str | None) -> None:
        super().__init__(
            store=FlushStore(redis, SPACE),
            definitions=DEFINITIONS,
            counter=lambda encoding: WordCounter(),
            summariser=NotingSummariser(),
        )
        self._redis = redis
        self._hold = hold

    async def _maybe_stand_still(self, step: str) -> None:
        if step == self._hold:
            await self._redis.set(HELD, step)
            await asyncio.get_running_loop().create_future()

    async def summarise(self, ticket: Ticket, progress: Callable[[], None]) -> int:
        await self._maybe_stand_still("summarise")
        return await super().summarise(ticket, progress)

    async def commit(self, ticket: Ticket) -> FlushOutcome:
        await self._maybe_stand_still("commit")
        return await super().commit(ticket)


async def main() -> None:
    """Work until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", required=True)
    parser.add_argument("--temporal", required=True)
    parser.add_argument("--task-queue", required=True)
    parser.add_argument("--hold", choices=STEPS)
    options = parser.parse_args()
    async with Redis.from_url(options.redis) as redis:
        await run_worker(
            activities=FlushActivities(steps=HeldSteps(redis, options.hold), metrics=Metrics(), project=SPACE.project),
            stop=asyncio.Event(),
            address=options.temporal,
            task_queue=options.task_queue,
        )


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
