"""What Temporal keeps of runs, as texts to search in: names, values, and payloads decoded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from temporalio.client import Client


def texts(part: Any) -> Iterator[str]:
    """Yield every text in a history as JSON, payloads decoded."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield name
            yield from texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts(value)
    elif isinstance(part, str):
        yield part
        try:
            yield base64.b64decode(part, validate=True).decode(errors="replace")
        except ValueError:
            return


async def everything_kept(client: Client, task_queue: str) -> tuple[int, list[str]]:
    """Return how many runs of a task queue there are, and all texts of their histories and descriptions."""
    runs = 0
    seen: list[str] = []
    async for execution in client.list_workflows(f"TaskQueue = '{task_queue}'"):
        runs += 1
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        seen += texts(json.loads((await handle.fetch_history()).to_json()))
        seen += texts(MessageToDict((await handle.describe()).raw_description))
    return runs, seen
