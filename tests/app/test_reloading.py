"""Definitions that are read anew: all of them at once, or none; on SIGHUP, in a running sidecar."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from structlog.testing import capture_logs

from sidecar.app.reloading import DefinitionsReload
from sidecar.config.loading import load_settings
from sidecar.config.settings import Settings
from sidecar.memory.catalogue import Catalogue
from tests.e2e.agents import as_map, run
from tests.support.children import StartSidecar
from tests.support.waiting import eventually


def write(path: Path, *definitions: str | dict[str, Any], **document: Any) -> Path:
    """Write definitions, some with no more than an id, in one step; JSON is YAML too."""
    listed = [{"id": each} if isinstance(each, str) else each for each in definitions]
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"definitions": listed} | document))
    new.replace(path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "definitions.yaml", "chat")


def start(path: Path, told: list[str] | None = None) -> tuple[Settings, Catalogue, DefinitionsReload]:
    told = [] if told is None else told
    settings, definitions = load_settings(definitions=str(path))
    catalogue = Catalogue(definitions.by_id, strict=definitions.strict)
    return settings, catalogue, DefinitionsReload(settings, catalogue, told=told.append)


async def test_new_definitions_are_put_in_force(path: Path) -> None:
    """What the file says now is in force, `strict` too, and the log tells how many there are."""
    _, catalogue, reload = start(path)
    assert "chat" in catalogue
    fallback = catalogue.fallback
    write(path, "chat", "notes", strict=True)
    with capture_logs() as logs:
        reload.start()
        await eventually(lambda: "notes" in catalogue)
        await eventually(lambda: logs)
    assert catalogue.fallback is None is not fallback
    assert [entry["event"] for entry in logs] == ["reload.done"]
    assert logs[0]["definitions"] == len(catalogue)
    await reload.close()


async def test_what_is_wrong_changes_nothing(path: Path) -> None:
    """Every problem is logged, and the definitions that were in force stay; the next good file is taken."""
    told: list[str] = []
    _, catalogue, reload = start(path, told)
    before = catalogue.by_id
    write(path, {"id": "chat", "max_tokens": -1}, {"id": "notes", "mode": "odd"})
    with capture_logs() as logs:
        reload.start()
        await eventually(lambda: len(logs) >= 2)
    assert {entry["event"] for entry in logs} == {"reload.refused"}
    problems = " ".join(entry["problem"] for entry in logs)
    assert "max_tokens" in problems
    assert "mode" in problems
    assert catalogue.by_id is before
    write(path, "notes")
    reload.start()
    await eventually(lambda: "notes" in catalogue)
    await eventually(lambda: told == ["refused", "done"])
    await reload.close()


async def test_a_reload_that_breaks_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong is logged, nothing changes, and the next signal is heard."""
    _, catalogue, reload = start(path)
    write(path, "notes")

    def broken(*_: object, **__: object) -> None:
        raise OSError("the vocabulary is damaged")

    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr("sidecar.app.reloading.load_counter", broken)
        reload.start()
        await eventually(lambda: logs)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("reload.failed", "error")]
    assert "notes" not in catalogue
    reload.start()
    await eventually(lambda: "notes" in catalogue)
    await reload.close()


async def test_one_that_is_asked_for_meanwhile_follows(path: Path) -> None:
    """However often it is asked for at once, the last state of the file is what is in force."""
    _, catalogue, reload = start(path)
    with capture_logs() as logs:
        for number in range(20):
            write(path, f"notes{number}")
            reload.start()
        await eventually(lambda: "notes19" in catalogue)
        await eventually(lambda: logs)
    assert len(logs) <= 2  # the one that ran, and one for all that came meanwhile
    await reload.close()


async def test_closing(path: Path) -> None:
    """Closing breaks off what runs, and does nothing where nothing runs."""
    _, catalogue, reload = start(path)
    await reload.close()
    before = catalogue.by_id
    write(path, "notes")
    reload.start()
    await reload.close()
    assert catalogue.by_id is before


async def test_a_running_sidecar(redis_url: str, sidecar_process: StartSidecar, path: Path) -> None:
    """After SIGHUP connected clients see the new definitions; after one with a broken file they keep what they have."""
    sidecar = sidecar_process(redis_url=redis_url, definitions=path)
    async with redis.asyncio.Redis.from_url(sidecar.url) as client:

        async def ids() -> set[bytes]:
            return set(await run(client, "MEMDEFS"))

        async def knows_notes() -> bool:
            return b"notes" in await ids()

        assert not await knows_notes()
        write(path, {"id": "notes", "max_tokens": 123})
        os.kill(sidecar.pid, signal.SIGHUP)
        await eventually(knows_notes, limit_s=30, why="the new definition is not in force")
        assert as_map(await run(client, "MEMINFO", "notes:one"))["limit-tokens"] == 123
        before = await ids()
        write(path, definitions="none")
        os.kill(sidecar.pid, signal.SIGHUP)
        await eventually(lambda: sidecar.has_printed("reload.refused"), limit_s=30, why="the broken file is not told")
        assert await ids() == before
        assert as_map(await run(client, "MEMAPPEND", "notes:one", "user", "hi"))["appended"] == 1


async def test_summarisers_are_read_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summariser that a new file names is in force with its definitions; one that cannot be made changes nothing."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    _, catalogue, reload = start(path)
    held = catalogue.summarisers
    write(path, {"id": "chat", "flush": {"summariser": "quoting"}}, summarisers={"quoting": {"kind": "extractive"}})
    reload.start()
    await eventually(lambda: "quoting" in held)
    assert catalogue["chat"].flush.summariser == "quoting"
    options = {"model": "m", "api_key_env": "NO_SUCH_KEY"}
    write(path, "chat", summarisers={"model": {"kind": "openai", "options": options}})
    with capture_logs() as logs:
        reload.start()
        await eventually(lambda: logs)
    assert "summarisers.model.options.api_key_env" in logs[0]["problem"]
    assert list(held) == ["quoting"]
    await reload.close()
