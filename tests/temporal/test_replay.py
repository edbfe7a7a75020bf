"""Runs that are under way survive an upgrade: the workflow of today replays the histories of yesterday."""

from __future__ import annotations

import base64
import re

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from sidecar.temporal.messages import WORKFLOW, FlushRequest, FlushResult
from sidecar.temporal.worker import workflow_runner
from sidecar.temporal.workflow import MemoryFlush
from tests.temporal.record_histories import HISTORIES, SCENARIOS

RECORDED = sorted(path.stem for path in HISTORIES.glob("*.json"))
EARLIER = sorted(path.relative_to(HISTORIES).with_suffix("").as_posix() for path in HISTORIES.glob("*/*.json"))
"""Of versions that took another way than today's, and whose runs may still be under way."""


def history(name: str) -> WorkflowHistory:
    """Return a stored history."""
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", [*RECORDED, *EARLIER])
async def test_stored_histories_replay(name: str) -> None:
    """A run that was recorded takes the same way today."""
    await Replayer(workflows=[MemoryFlush], workflow_runner=workflow_runner()).replay_workflow(history(name))


def test_every_way_is_recorded() -> None:
    """There is a history of every scenario, and of today's none that nobody can record again."""
    assert set(RECORDED) == set(SCENARIOS)
    assert EARLIER == ["earlier/summary-failed"]


def test_the_earlier_way_is_another_one() -> None:
    """The earlier history ends where today's workflow would fall back, so its replay shows that the patch holds."""
    kinds = [event.event_type for event in history("earlier/summary-failed").events]
    failed = kinds.index(EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
    assert EventType.EVENT_TYPE_MARKER_RECORDED not in kinds[failed:]
    assert kinds[-1] == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED


@workflow.defn(name=WORKFLOW, sandboxed=False)
class Impatient:
    """A workflow of the same name that does something else first."""

    @workflow.run
    async def run(self, request: FlushRequest) -> FlushResult:
        """Sleep, and flush nothing."""
        await workflow.sleep(1)
        return FlushResult("not-due")


async def test_a_changed_order_does_not_replay() -> None:
    """The replay notices a workflow that does something else than it did before."""
    with pytest.raises(NondeterminismError):
        await Replayer(workflows=[Impatient], workflow_runner=workflow_runner()).replay_workflow(history("done"))


@pytest.mark.parametrize("name", [*RECORDED, *EARLIER])
def test_histories_name_no_machine(name: str) -> None:
    """A stored history says nothing about where it was recorded."""
    text = (HISTORIES / f"{name}.json").read_text()
    payloads = (base64.b64decode(data).decode() for data in re.findall(r'"data": "([^"]+)"', text))
    for part in (text, *payloads):
        assert not re.search(r"identity|stackTrace|/\w+/\w+\.py", part)
