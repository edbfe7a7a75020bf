"""The payload codec: loading it, and a real Temporal that gets to see nothing in plain."""

from __future__ import annotations

import pytest
from temporalio.client import Client
from temporalio.converter import DataConverter

from sidecar.dev.servers import TemporalServer
from sidecar.errors import ConfigurationError, FlushRefused
from sidecar.memory.ports import FlushOrder
from sidecar.temporal.codec import converter
from sidecar.temporal.starter import TemporalEngine
from sidecar.temporal.workflow import MAX_RESTARTS
from tests.support.waiting import eventually
from tests.temporal.conftest import StartWorker
from tests.temporal.histories_seen import everything_kept
from tests.temporal.scripted import ScriptedSteps, done
from tests.temporal.toy_codec import Turning, turned

PATIENCE_S = 20.0
"""For a start on a machine that is busy with other tests; how long one may take is not the matter here."""


@pytest.mark.parametrize("name", ["made", "Turning"])
def test_a_codec_or_what_makes_one(name: str) -> None:
    """The setting names a codec, or what returns one."""
    assert isinstance(converter(f"tests.temporal.toy_codec:{name}").payload_codec, Turning)


def test_no_codec() -> None:
    """Without the setting everything is as Temporal has it by default."""
    assert converter(None) is DataConverter.default


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_such_module:x", "'no_such_module:x' cannot be loaded: ModuleNotFoundError"),
        ("tests.temporal.toy_codec:missing", "cannot be loaded: AttributeError"),
        ("tests.temporal.toy_codec:broken", "cannot be loaded: KeyError: 'THE_KEY'"),
        ("tests.temporal.toy_codec:nothing", "cannot be loaded: TypeError"),
        ("builtins:dict", "'builtins:dict' is no temporalio.converter.PayloadCodec but a dict"),
        ("toy_codec", "'toy_codec' must be module:attribute"),
    ],
)
def test_what_is_no_codec(name: str, text: str) -> None:
    """What cannot be used as a codec is a mistake of the configuration that says why."""
    with pytest.raises(ConfigurationError) as problem:
        converter(name)
    (line,) = problem.value.problems
    assert line.startswith("temporal_payload_codec: ")
    assert text in line


async def test_temporal_keeps_nothing_in_plain(
    temporal_server: TemporalServer, start_worker: StartWorker, client: Client, task_queue: str, instance: str
) -> None:
    """With a codec flushes work, and arguments, results, errors, memo and summaries are kept encoded only."""
    turning = converter("tests.temporal.toy_codec:Turning")
    engine = TemporalEngine(
        address=temporal_server.address, task_queue=task_queue, converter=turning, call_seconds=PATIENCE_S
    )
    failing = [FlushRefused("stale-fence")] * (MAX_RESTARTS + 1)
    start_worker(ScriptedSteps(commit=[done(), *failing]), converter=turning)
    # The name of the memory is part of the workflow id, which Temporal must read; the others are in payloads only.
    good = await (await engine.start(FlushOrder("chat", instance, strategy="hybrid_summary"))).outcome()
    bad = await (await engine.start(FlushOrder("chat", instance))).outcome()
    await engine.close()
    assert (good.status, bad.status) == ("done", "failed")
    assert "stale-fence" in bad.error

    async def kept() -> list[str] | None:
        runs, seen = await everything_kept(client, task_queue)
        return seen if runs == 2 else None

    seen = await eventually(kept, why="the runs are not listed")
    assert seen is not None
    for plain in ("hybrid_summary", "stale-fence", "over its threshold", "choose what to remove", "5 messages"):
        assert not [text for text in seen if plain in text]
        hidden = turned(plain.encode()).decode(errors="replace")
        assert [text for text in seen if hidden in text], f"'{plain}' is not kept at all"
