"""Deputies for tests: the real one, and odd ones. As a program, `python -m tests.flush.deputies KIND`, an odd one.

`stuck` takes errands and never finishes one; it says on standard error when it begins one, and when one is recalled.
`late` never says that it is ready. `holder` starts a real deputy, says its process id, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from io import FileIO

from sidecar.deputy.charge import COMMAND, Charge, environment
from sidecar.flush.deputy import Deputy
from sidecar.flush.duty import serve_errands
from sidecar.flush.errands import next_frame
from sidecar.flush.labour import Progress
from sidecar.flush.ticket import PlanFacts, Ticket
from sidecar.memory.definition import Definition
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.store.flush_words import Deed
from tests.flush.memories import SPACE

ODD = (sys.executable, "-m", "tests.flush.deputies")
"""Command of an odd deputy, but for its kind."""

TICKET = Ticket("chat", "i", "run", "fifo", True, "0", 1, 1, "1-1", 3, 150, 0, 1_000)
"""Of a flush that nobody has begun."""


def charge_of(redis_url: str) -> Charge:
    """Return the charge for the memories of `SPACE`."""
    return Charge(redis_url=redis_url, key_prefix=SPACE.prefix, project=SPACE.project, log_level="warning")


def real_deputy(redis_url: str, *, idle_s: float = 60.0) -> Deputy:
    """Return a deputy as a sidecar has it, for the memories of `SPACE`."""
    return Deputy(COMMAND, environment=environment(), charge=lambda: charge_of(redis_url), idle_s=idle_s)


def odd_deputy(kind: str, *, start_limit_s: float = 30.0) -> Deputy:
    """Return one that runs this program."""
    charge = Charge(redis_url="redis://127.0.0.1:1", key_prefix="", project="")
    return Deputy((*ODD, kind), environment=environment(), charge=lambda: charge, start_limit_s=start_limit_s)


class Stuck:
    """Labour that never ends."""

    async def plan(self, ticket: Ticket, definition: Definition) -> PlanFacts:
        await self._wait("plan", ticket.run_id)
        raise AssertionError("unreachable")

    async def summarise(self, ticket: Ticket, definition: Definition, progress: Progress, *, fallback: bool) -> int:
        await self._wait("summarise", ticket.run_id)
        raise AssertionError("unreachable")

    async def prepare(self, ticket: Ticket, definition: Definition) -> Deed:
        await self._wait("prepare", ticket.run_id)
        raise AssertionError("unreachable")

    async def preview(self, order: FlushOrder, definition: Definition) -> FlushOutcome:
        await self._wait("preview", order.instance)
        raise AssertionError("unreachable")

    async def _wait(self, what: str, name: str) -> None:
        print(f"begun: {what} {name}", file=sys.stderr, flush=True)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print(f"recalled: {what} {name}", file=sys.stderr, flush=True)
            raise


async def _stuck() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await next_frame(reader)
    await serve_errands(reader, FileIO(1, "w", closefd=False).write, Stuck())


async def _holder() -> None:
    deputy = real_deputy(sys.argv[2])
    await deputy.do("preview", Definition(), order=FlushOrder("default", "i"))
    print(deputy.pid, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    match sys.argv[1]:
        case "stuck":
            asyncio.run(_stuck())
        case "holder":
            asyncio.run(_holder())
        case "late":
            time.sleep(60)
