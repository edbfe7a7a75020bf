"""Versioned workers on a real Temporal: who gets a run, and what becomes of it when the version changes."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from sidecar.dev.servers import TemporalServer
from sidecar.memory.ports import FlushOrder
from sidecar.metrics import Metrics
from sidecar.temporal.activities import FlushActivities
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.worker import WorkerOptions, run_worker
from tests.support.waiting import eventually
from tests.temporal.scripted import ScriptedSteps

PATIENCE_S = 30.0
"""For calls on a machine that is busy with other tests."""


async def make_current(client: Client, deployment: str, build_id: str) -> None:
    """Make a version the current one, once its worker has polled."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=deployment, build_id=build_id, identity="test"
    )

    async def done() -> bool:
        try:
            await client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError as early:
            if early.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
                raise
            return False
        return True

    await eventually(done, limit_s=60, why="the version did not come to be known")


@pytest.mark.parametrize("under_way", [False, True])
async def test_the_current_version_gets_the_run(
    temporal_server: TemporalServer, client: Client, task_queue: str, instance: str, under_way: bool
) -> None:
    """A run goes to the worker whose version is current; one that is under way moves on when another version is
    and the workers of its own have gone."""
    stops = [asyncio.Event(), asyncio.Event()]

    async def endless() -> int:
        await asyncio.get_running_loop().create_future()
        return 0

    old, new = ScriptedSteps(summarise=[endless]), ScriptedSteps()
    workers = [
        asyncio.create_task(
            run_worker(
                activities=FlushActivities(steps=steps, metrics=Metrics(), project="default"),
                stop=stops[at],
                address=temporal_server.address,
                task_queue=task_queue,
                options=WorkerOptions(grace_seconds=0.2, deployment=task_queue, build_id=str(at + 1)),
            )
        )
        for at, steps in enumerate((old, new))
    ]
    engine = TemporalEngine(address=temporal_server.address, task_queue=task_queue, call_seconds=PATIENCE_S)
    if under_way:
        await make_current(client, task_queue, "1")
        handle = await engine.start(FlushOrder("chat", instance))
        await eventually(lambda: "summarise" in old.calls, limit_s=30)
        await make_current(client, task_queue, "2")
        stops[0].set()
        assert (await asyncio.wait_for(handle.outcome(), 60)).status == "done"
        assert (old.calls, new.calls) == (["begin", "plan", "summarise"], ["summarise", "commit"])
    else:
        await make_current(client, task_queue, "2")
        handle = await engine.start(FlushOrder("chat", instance))
        assert (await asyncio.wait_for(handle.outcome(), 60)).status == "done"
        assert (old.calls, new.calls) == ([], ["begin", "plan", "summarise", "commit"])
    for stop in stops:
        stop.set()
    await asyncio.gather(*workers)
    await engine.close()


def test_without_a_version() -> None:
    """A worker without deployment and build id takes part in no versioning."""
    assert WorkerOptions().versioning() is None
    assert WorkerOptions(deployment="flushes").versioning() is None
