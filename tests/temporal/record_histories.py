"""Records the histories of `histories/`: `python -m tests.temporal.record_histories`, with `temporal` on PATH.

It records those that are not there yet; run it when a scenario is added. What lies in `histories/earlier/` was recorded
by earlier versions, where today's workflow takes another way: nobody can record it again. Do not record anything anew
to silence a replay test: the histories stand for runs that are under way while memsidecar is upgraded, and a workflow
that cannot replay them leaves those runs stuck.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client

from sidecar.dev.ports import free_port
from sidecar.dev.servers import TemporalServer
from sidecar.errors import FlushLocked, FlushRefused, SummariserRefused, Unavailable
from sidecar.flush.ticket import Begun, PlanFacts
from sidecar.memory.ports import FlushOrder, FlushOutcome
from sidecar.metrics import Metrics
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.worker import WorkerOptions, run_worker
from sidecar.temporal.workflow import MAX_RESTARTS
from tests.temporal.scripted import ScriptedSteps, done

HISTORIES = Path(__file__).parent / "histories"

CANCELLED = "cancelled"
"""The scenario that is cancelled as soon as it has begun."""

JOINED = Begun("joined", "somebody-else")
NOT_DUE = Begun("not-due", "", outcome=FlushOutcome("not-due", messages=3, tokens=30))
NO_SUMMARY = PlanFacts(5, 50, summarise=False, nothing=False, reached=True)
REFUSED = FlushRefused("stale-fence")

SCENARIOS: dict[str, Callable[[], ScriptedSteps]] = {
    "done": lambda: ScriptedSteps(),
    "done-without-summary": lambda: ScriptedSteps(plan=[NO_SUMMARY]),
    "not-due": lambda: ScriptedSteps(begin=[NOT_DUE]),
    "two-rounds": lambda: ScriptedSteps(commit=[done(again=True)]),
    "second-round-failed": lambda: ScriptedSteps(commit=[done(again=True), *[REFUSED] * (MAX_RESTARTS + 1)]),
    "joined": lambda: ScriptedSteps(begin=[JOINED, JOINED]),
    "tried-again": lambda: ScriptedSteps(plan=[Unavailable("refused")]),
    "refused-once": lambda: ScriptedSteps(commit=[REFUSED]),
    "locked-commit": lambda: ScriptedSteps(commit=[FlushLocked(50)] * 2),
    "failed": lambda: ScriptedSteps(plan=[REFUSED] * (MAX_RESTARTS + 1)),
    "fell-back": lambda: ScriptedSteps(summarise=[SummariserRefused("a bad key")]),
    "kept-without-summary": lambda: ScriptedSteps(
        summarise=[SummariserRefused("a bad key")], fall_back=[FlushRefused("no-summary")]
    ),
    CANCELLED: lambda: ScriptedSteps(begin=[JOINED] * 3),
}
"""Each way that a run can take, with steps that send it there."""


def without_traces(part: Any) -> Any:
    """Return a history without what names the machine that recorded it: who worked, and where the source lies."""
    if isinstance(part, dict):
        return {name: without_traces(value) for name, value in part.items() if name not in {"identity", "stackTrace"}}
    return [without_traces(value) for value in part] if isinstance(part, list) else part


async def record(name: str, address: str) -> None:
    """Run one scenario and write its history."""
    stop = asyncio.Event()
    activities = FlushActivities(steps=SCENARIOS[name](), metrics=Metrics(), project="default")
    working = asyncio.create_task(
        run_worker(
            activities=activities, stop=stop, address=address, task_queue=name, options=WorkerOptions(grace_seconds=1)
        )
    )
    engine = TemporalEngine(address=address, task_queue=name)
    handle = await engine.start(FlushOrder("chat", name))
    client = await Client.connect(address)
    run = client.get_workflow_handle(handle.workflow_id, run_id=handle.run_id)
    if name == CANCELLED:
        async for event in run.fetch_history_events(wait_new_event=True):
            if event.HasField("timer_started_event_attributes"):
                await run.cancel()
                break
    await handle.outcome()
    stop.set()
    await working
    history = without_traces(json.loads((await run.fetch_history()).to_json()))
    (HISTORIES / f"{name}.json").write_text(json.dumps(history, indent=1) + "\n")


async def main() -> None:
    """Record every scenario that has no history."""
    HISTORIES.mkdir(exist_ok=True)
    server = TemporalServer(port=free_port())
    server.start()
    try:
        for name in [name for name in SCENARIOS if not (HISTORIES / f"{name}.json").exists()]:
            await record(name, server.address)
    finally:
        server.stop()


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
