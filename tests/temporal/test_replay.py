"""Runs that are under way survive an upgrade: the workflow of today replays the histories of yesterday."""

from __future__ import annotations

import base64
import re

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from sidecar.temporal.messages import WORKFLOW, FlushRequest, FlushResult
from sidecar.temporal.workflow import MemoryFlush
from tests.temporal.record_histories import HISTORIES, SCENARIOS

RECORDED = sorted(path.stem for path in HISTORIES.glob("*.json"))


def history(name: str) -> WorkflowHistory:
    """Return a stored history."""
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
async def test_stored_histories_replay(name: str) -> None:
    """A run that was recorded takes the same way today."""
    await Replayer(workflows=[MemoryFlush]).replay_workflow(history(name))


def test_every_way_is_recorded() -> None:
    """There is a history of every scenario, and none that nobody can record again."""
    assert set(RECORDED) == set(SCENARIOS)


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
        await Replayer(workflows=[Impatient]).replay_workflow(history("done"))


@pytest.mark.parametrize("name", RECORDED)
def test_histories_name_no_machine(name: str) -> None:
    """A stored history says nothing about where it was recorded."""
    text = (HISTORIES / f"{name}.json").read_text()
    payloads = (base64.b64decode(data).decode() for data in re.findall(r'"data": "([^"]+)"', text))
    for part in (text, *payloads):
        assert not re.search(r"identity|stackTrace|/\w+/\w+\.py", part)
