"""What is rendered runs: the real program takes the rendered command lines, environments and files, with a real Redis.

The only values that differ from a cluster's are ports and the address to listen on: everything stays on loopback.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.config.loading import load_settings
from sidecar.config.settings import PREFIX, Settings
from sidecar.dev import probes
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.servers import TemporalServer
from tests.chart_values import camel_case, free_settings
from tests.helm.rendering import Helm, Manifest, named, pods
from tests.helm.running import Container, environment
from tests.helm.value_sets import DEFINITIONS, REDIS, SETS, values_of
from tests.support.certificates import Authority, Certificate
from tests.support.children import Children, StartRedis

PASSWORD = "p@ss/word"
URL_PASSWORD = "p%40ss%2Fword"

ANOTHER: dict[str, Any] = {
    "protected_mode": False,
    "redis_tls_server_name": "redis.internal",
    "sentinel_username": "watch",
    "project": "another",
    "key_prefix": "another",
    "engine": "temporal",
    "temporal_address": "temporal.example:7233",
    "temporal_namespace": "agents",
    "temporal_tls": True,
    "temporal_tls_server_name": "temporal.internal",
    "temporal_task_queue": "another",
    "temporal_payload_codec": "codecs:encrypting",
    "temporal_search_attributes": True,
    "temporal_deployment": "memsidecar",
    "temporal_build_id": "1e3",
    "token_engine": "tiktoken",
    "tracing": "otlp",
    "log_level": "debug",
    "log_format": "console",
}
"""For settings that are no plain number: another value than the default's."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short name, because a Unix socket's path has few bytes."""
    with tempfile.TemporaryDirectory(prefix="helm-") as name:
        yield Path(name)


def _given(name: str) -> Any:
    default = Settings.model_fields[name].default
    assert name in ANOTHER or isinstance(default, int | float), f"ANOTHER has no value of {name}"
    return ANOTHER[name] if name in ANOTHER else default + 1


def test_every_setting_reaches_the_program(helm: Helm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each value of `settings` arrives as it was given, numbers of nine digits too."""
    given = {camel_case(name): _given(name) for name in free_settings()}
    values = REDIS | {"settings": given, "worker": {"enabled": True}}
    values["redis"] = {"urlSecret": {"name": "redis"}, "sentinelPasswordSecret": {"name": "redis"}}
    manifests = helm.render("memsidecar", values)
    secrets = {"redis": {"url": "rediss+sentinel://sentinel/main", "password": "x"}}
    for container in ("gateway", "worker"):
        [pod] = [pod for where, pod in pods(manifests) if where.endswith(container)]
        variables = environment(pod["spec"]["containers"][0], manifests, secrets)
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            settings, _ = load_settings()
        for name in free_settings():
            assert getattr(settings, name) == _given(name), name
            assert f"{PREFIX}{name.upper()}" in variables


@pytest.mark.parametrize(("chart", "name"), SETS)
def test_the_program_finds_the_configuration_fine(helm: Helm, chart: str, name: str, folder: Path) -> None:
    """`memsidecar check` passes in the environment, and with the files, of every container of every set of values."""
    manifests = helm.render(chart, values_of(chart, name))
    secrets = _secrets(folder)
    manifests += [_config_map("memories"), _config_map("codec")]
    checked = 0
    for where, pod in pods(manifests):
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            place = folder / f"{where.replace('/', '-')}-{container['name']}"
            place.mkdir()
            child = Container(container, pod=pod, manifests=manifests, secrets=secrets, folder=place)
            if child.name not in ("memsidecar", "worker"):
                continue
            program = child.command()[0]
            ended = subprocess.run([program, "check"], env=child.environment, capture_output=True, text=True)
            assert not ended.returncode, ended.stderr
            assert "The configuration is fine." in ended.stdout
            assert ("definition   chat" in ended.stdout) == ("MEMSIDECAR_DEFINITIONS" in child.environment)
            checked += 1
    assert checked


def _config_map(name: str) -> Manifest:
    definitions = "definitions: [{id: chat}]"
    data = {"definitions.yaml": definitions, "chat.yaml": definitions, "notes.yml": "definitions: [{id: notes}]"}
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _secrets(folder: Path) -> dict[str, dict[str, str]]:
    (folder / "certificates").mkdir()
    authority = Authority(folder / "certificates")
    certificate: Certificate = authority.issue("one")
    files = {
        "ca.crt": authority.ca.read_text(),
        "tls.crt": certificate.cert.read_text(),
        "tls.key": certificate.key.read_text(),
    }
    return {
        "redis": {"url": "redis://user:word@redis:6379/0", "sentinels": "rediss+sentinel://sentinel/main"},
        "agent-redis": {"url": "redis://user:word@redis:6379/0"},
        "sentinel": {"password": "word"},
        "temporal": {"key": "word"},
        "openai": {"key": "word"},
        **dict.fromkeys(("redis-ca", "redis-cert", "temporal-ca", "temporal-cert", "gateway-cert", "agents-ca"), files),
    }


class Cluster:
    """What one test renders, and runs with a Redis that asks for a password."""

    def __init__(self, children: Children, redis_port: int, folder: Path) -> None:
        url = f"redis://default:{URL_PASSWORD}@{LOOPBACK}:{redis_port}/0"
        self.secrets = _secrets(folder) | {"redis": {"url": url}, "agent-redis": {"url": url}}
        self.folder = folder
        self._children = children

    def run(
        self, container: Manifest, *, pod: Manifest, manifests: list[Manifest], extra: dict[str, str] | None = None
    ) -> Container:
        """Start a container and return it once its startup probe has succeeded."""
        place = self.folder / container["name"]
        place.mkdir()
        child = Container(container, pod=pod, manifests=manifests, secrets=self.secrets, folder=place, extra=extra)
        return self._children.add(child)


@pytest.fixture
def cluster(children: Children, start_redis: StartRedis, folder: Path) -> Cluster:
    """A Redis with a password, and nothing else yet."""
    server = start_redis("--requirepass", PASSWORD)
    return Cluster(children, server.port, folder)


def _gateway_values() -> dict[str, Any]:
    ports = {"redis": free_port(), "metrics": free_port()}
    return REDIS | DEFINITIONS | {"gateway": {"listenHost": LOOPBACK, "ports": ports}, "test": {"definition": "chat"}}


@pytest.mark.parametrize("tls", [False, True])
async def test_a_gateway_serves_and_passes_its_helm_test(helm: Helm, cluster: Cluster, tls: bool) -> None:
    """The gateway's probe succeeds, its definitions are in force, and the pod of `helm test` has its conversation."""
    values = _gateway_values() | ({"tls": {"certSecret": {"name": "gateway-cert"}}} if tls else {})
    manifests = helm.render("memsidecar", values)
    pod = named(manifests, "Deployment", "talk-memsidecar-gateway")["spec"]["template"]
    cluster.run(pod["spec"]["containers"][0], pod=pod, manifests=manifests)
    port = values["gateway"]["ports"]["redis"]
    with redis.Redis(port=port, password=PASSWORD, decode_responses=True, ssl=tls, ssl_cert_reqs="none") as client:
        assert "12000000" in str(client.execute_command("MEMDEFS", "chat"))
    test = named(manifests, "Pod", "talk-memsidecar-test")
    talk = cluster.run(
        test["spec"]["containers"][0], pod=test, manifests=manifests, extra={"GATEWAY": f"{LOOPBACK}:{port}"}
    )
    assert talk.wait(30) == 0, talk.tail()
    assert talk.has_printed("The gateway stored a conversation and gave it back.")


async def test_the_helm_test_fails_without_a_gateway(helm: Helm, cluster: Cluster) -> None:
    """The conversation is a real one: where nobody answers, the test's pod ends with an error."""
    manifests = helm.render("memsidecar", _gateway_values())
    test = named(manifests, "Pod", "talk-memsidecar-test")
    talk = cluster.run(
        test["spec"]["containers"][0], pod=test, manifests=manifests, extra={"GATEWAY": f"{LOOPBACK}:{free_port()}"}
    )
    assert talk.wait(30) == 1


async def test_a_worker_runs_the_flushes_of_a_gateway(
    helm: Helm, cluster: Cluster, temporal_server: TemporalServer
) -> None:
    """Gateway and worker meet on Temporal with what the chart gives them, and a flush that is waited for ends."""
    settings = {
        "engine": "temporal",
        "temporalAddress": temporal_server.address,
        "temporalTaskQueue": f"helm-{free_port()}",
        "project": f"helm-{free_port()}",
    }
    ports = {"metrics": free_port(), "sdkMetrics": free_port()}
    values = _gateway_values() | {"settings": settings}
    values["worker"] = {"enabled": True, "listenHost": LOOPBACK, "ports": ports}
    manifests = helm.render("memsidecar", values)
    for name in ("gateway", "worker"):
        pod = named(manifests, "Deployment", f"talk-memsidecar-{name}")["spec"]["template"]
        cluster.run(pod["spec"]["containers"][0], pod=pod, manifests=manifests)
    client: Any = redis.Redis(
        port=values["gateway"]["ports"]["redis"], password=PASSWORD, decode_responses=True, socket_timeout=60
    )
    with client:
        for text in ("Where is my parcel?", "It left Rotterdam.", "And now?", "It is here."):
            client.execute_command("MEMAPPEND", "chat:1", "user", text)
        flushed = client.execute_command("MEMFLUSH", "chat:1", "FORCE", "TARGET", 20, "WAIT", 40_000)
    assert "done" in str(flushed), flushed
    for port in ports.values():
        assert probes.http_succeeds(port, "/metrics")


async def test_an_agent_talks_through_the_sidecar_in_its_pod(helm: Helm, cluster: Cluster) -> None:
    """The example: the native sidecar is ready, and the agent beside it remembers what it has said."""
    ports = {"redis": free_port(), "metrics": free_port()}
    own = {"listenHost": LOOPBACK, "ports": ports, "unixSocket": {"enabled": True}}
    manifests = helm.render("agent", {"memsidecar": own})
    pod = named(manifests, "Deployment", "talk-agent")["spec"]["template"]
    [sidecar], [agent] = pod["spec"]["initContainers"], pod["spec"]["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/readyz"
    running = cluster.run(sidecar, pod=pod, manifests=manifests)
    talk = cluster.run(agent, pod=pod, manifests=manifests, extra={"TURNS": "1"})
    assert talk.wait(30) == 0, talk.tail()
    assert talk.has_printed("I remember 1 messages.")
    with redis.Redis(unix_socket_path=running.environment["MEMSIDECAR_UNIX_SOCKET"], password=PASSWORD) as client:
        assert client.ping()
