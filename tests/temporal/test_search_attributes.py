"""Search attributes on a real Temporal: refused where nobody registered them, and found by where somebody did."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from temporalio.client import Client

from sidecar.dev.servers import TemporalServer
from sidecar.errors import EngineUnavailable
from sidecar.memory.ports import FlushOrder
from sidecar.temporal.starter import TemporalEngine
from tests.support.children import StartTemporal
from tests.support.waiting import eventually

PATIENCE_S = 20.0
"""For a start on a machine that is busy with other tests."""


async def test_registered_or_not(start_temporal: StartTemporal, temporal_program: Path, instance: str) -> None:
    """Unregistered ones are refused with the command that registers them; after that command flushes are found by
    project and by definition."""
    server = start_temporal()
    engine = TemporalEngine(address=server.address, project="shop", search_attributes=True, call_seconds=PATIENCE_S)
    with pytest.raises(EngineUnavailable, match="temporal operator search-attribute create") as problem:
        await engine.start(FlushOrder("chat", instance))
    command = str(problem.value).partition("off: temporal ")[2].split()
    whole = [str(temporal_program), *command, "--address", server.address]
    await asyncio.to_thread(lambda: subprocess.run(whole, check=True, timeout=60))

    async def starts() -> bool:
        try:  # the server learns of new ones after a moment
            return (await engine.start(FlushOrder("chat", instance))).started
        except EngineUnavailable:
            return False

    await eventually(starts, limit_s=60)
    await engine.close()
    client = await Client.connect(server.address)

    async def found() -> list[str]:
        query = "MemsidecarProject = 'shop' AND MemsidecarDefinition = 'chat'"
        return [each.id async for each in client.list_workflows(query)]

    assert await eventually(found, limit_s=30) == [f"memflush:shop:chat:{instance}"]


async def test_not_asked_for(temporal_server: TemporalServer, client: Client, instance: str) -> None:
    """By default none are set, so that a namespace that knows none starts flushes."""
    engine = TemporalEngine(address=temporal_server.address, call_seconds=PATIENCE_S)
    handle = await engine.start(FlushOrder("chat", instance))
    description = await client.get_workflow_handle(handle.workflow_id).describe()
    assert not [pair for pair in description.typed_search_attributes if pair.key.name.startswith("Memsidecar")]
    await engine.close()
