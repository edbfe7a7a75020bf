"""Real servers: started, stopped, killed and started again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from sidecar.dev.probes import accepts
from sidecar.dev.problems import ChildFailed
from sidecar.dev.servers import (
    WORKER_READY_LINE,
    RedisServer,
    SidecarProcess,
    TemporalServer,
    WorkerProcess,
)
from sidecar.temporal.worker import READY
from tests.support.children import Children, StartRedis, StartTemporal


def client(server: RedisServer, **options: str) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=server.port, **options)  # type: ignore[arg-type]


def test_redis_is_ready_when_started(start_redis: StartRedis) -> None:
    """The first command after the start is answered, at the url that the server names."""
    server = start_redis()
    with redis.Redis.from_url(server.url) as connection:
        assert connection.set("k", "v")
        assert connection.get("k") == b"v"


def test_redis_without_appendonly_keeps_nothing(start_redis: StartRedis, tmp_path: Path) -> None:
    """A temporary Redis writes no file, and is empty after a restart."""
    server = start_redis()
    with client(server) as connection:
        connection.set("k", "v")
    assert server.stop() is True
    assert list(tmp_path.rglob("*.rdb")) == list(tmp_path.rglob("*.aof")) == []
    server.start()
    with client(server) as connection:
        assert connection.dbsize() == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_redis_with_appendonly_keeps_its_data(start_redis: StartRedis, end: str) -> None:
    """With appendonly an acknowledged write survives a stop and a kill."""
    server = start_redis(appendonly=True)
    with client(server) as connection:
        for number in range(100):
            connection.rpush("k", number)
    getattr(server, end)()
    server.start()
    with client(server) as connection:
        assert connection.llen("k") == 100


def test_redis_listens_on_loopback_only(start_redis: StartRedis) -> None:
    """The embedded Redis has no password, so it is bound to 127.0.0.1 and nothing else."""
    with client(start_redis()) as connection:
        assert connection.config_get("bind") == {"bind": "127.0.0.1"}


def test_redis_takes_options(start_redis: StartRedis) -> None:
    """Further options reach Redis; one that wants a password counts as ready."""
    server = start_redis("--requirepass", "secret", "--maxmemory", "50mb")
    with client(server, password="secret") as connection:
        assert connection.config_get("maxmemory") == {"maxmemory": str(50 * 1024 * 1024)}


def test_another_redis_on_the_port_is_not_ours(
    start_redis: StartRedis, children: Children, redis_program: Path, tmp_path: Path
) -> None:
    """If a Redis answers on the port already, ours fails, and its own words say why."""
    port = start_redis().port
    with pytest.raises(ChildFailed, match=r"(?s)redis ended with exit code 1\..*in use"):
        children.add(RedisServer(port=port, directory=tmp_path, program=redis_program))


async def test_temporal_is_usable_when_started(temporal_server: TemporalServer) -> None:
    """A workflow can be started with the very first call, in the namespace that exists."""
    temporal = await Client.connect(temporal_server.address)
    handle = await temporal.start_workflow("Anything", id=f"first-{temporal_server.pid}", task_queue="nobody")
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await handle.terminate()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_temporal_keeps_its_history(start_temporal: StartTemporal, tmp_path: Path, end: str) -> None:
    """With a file, a running workflow is still there after the server was stopped, or killed, and started again."""
    server = start_temporal(db_filename=tmp_path / "temporal.db")
    temporal = await Client.connect(server.address)
    handle = await temporal.start_workflow("Anything", id="kept", task_queue="nobody")
    getattr(server, end)()
    server.start()
    temporal = await Client.connect(server.address)
    description = await temporal.get_workflow_handle("kept", run_id=handle.first_execution_run_id).describe()
    assert description.status == WorkflowExecutionStatus.RUNNING


async def test_temporal_without_a_file_forgets(start_temporal: StartTemporal) -> None:
    """Without a file the history is gone after a restart."""
    server = start_temporal()
    temporal = await Client.connect(server.address)
    await temporal.start_workflow("Anything", id="forgotten", task_queue="nobody")
    server.stop()
    server.start()
    temporal = await Client.connect(server.address)
    with pytest.raises(RPCError, match="not found"):
        await temporal.get_workflow_handle("forgotten").describe()


def test_temporal_on_a_taken_port(start_temporal: StartTemporal, redis_server: RedisServer) -> None:
    """If the port is taken, the error holds Temporal's own words."""
    with pytest.raises(ChildFailed, match=r"(?s)temporal ended with exit code 1\..*address already in use"):
        start_temporal(port=redis_server.port)


def test_temporal_names_its_addresses() -> None:
    """The address is for clients, the web page exists only where a port for it was given."""
    program = Path("/bin/sh")
    assert TemporalServer(port=7233, program=program).address == "127.0.0.1:7233"
    assert TemporalServer(port=7233, program=program).ui_url is None
    with_page = TemporalServer(port=7233, ui_port=8233, program=program)
    assert with_page.ui_url == "http://127.0.0.1:8233"
    assert "--headless" not in with_page.command()


def test_a_frozen_redis_is_killed(start_redis: StartRedis) -> None:
    """A server that cannot react to SIGTERM any more is gone all the same after the limit."""
    server = start_redis()
    os.kill(server.pid, signal.SIGSTOP)
    assert server.stop(0.3) is False
    assert not server.running
    assert not accepts(server.port)


def test_sidecar_and_worker_get_their_settings() -> None:
    """Sidecar and worker get the given settings; only the sidecar is told where to listen."""
    settings = {"MEMSIDECAR_REDIS_URL": "redis://127.0.0.1:1/0"}
    sidecar = SidecarProcess(port=7001, http_port=7002, settings=settings)
    worker = WorkerProcess(settings=settings)
    told = {"MEMSIDECAR_LISTEN": "127.0.0.1:7001", "MEMSIDECAR_HTTP_LISTEN": "127.0.0.1:7002"}
    assert sidecar.environment.items() >= {**settings, **told}.items()
    assert worker.environment.items() >= settings.items()
    assert not told.keys() & worker.environment.keys()
    assert (sidecar.url, sidecar.metrics_url) == ("redis://127.0.0.1:7001/0", "http://127.0.0.1:7002/metrics")


def test_the_workers_ready_line_is_the_workers() -> None:
    """What is waited for is what the worker prints."""
    assert WORKER_READY_LINE == READY
