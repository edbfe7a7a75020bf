"""compose.yaml: what it says is valid and there, and each of its commands is run on this machine, with its settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from sidecar.config.settings import PREFIX, Settings
from sidecar.dev.ports import LOOPBACK, free_port
from sidecar.dev.probes import http_succeeds
from sidecar.dev.servers import WORKER_READY_LINE
from tests.container.composition import FILE, ROOT, Served, ServedTemporal, composition, mounts
from tests.support.children import Children, StartRedis
from tests.support.requirements import require_program

SERVICES: dict[str, dict[str, Any]] = composition()["services"]
OURS = ("sidecar", "worker")


def test_docker_compose_takes_it() -> None:
    """The program that would run it finds nothing wrong, and starts all of these."""
    program = require_program("docker-compose")
    environment = {"PATH": os.environ["PATH"], "HOME": str(ROOT)}
    checked = subprocess.run(
        [program, "-f", FILE, "config", "--services"], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert checked.returncode == 0, checked.stderr
    assert set(checked.stdout.split()) == set(SERVICES)
    assert set(SERVICES) == {"redis", "temporal", "sidecar", "worker", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there(name: str) -> None:
    """Every file and folder that a container sees is in the repository, can only be read, and is not empty."""
    volumes = SERVICES[name].get("volumes", [])
    assert all(each["read_only"] for each in volumes if each["type"] == "bind")
    for source, _ in mounts(SERVICES[name]):
        assert source.stat().st_size > 0
        assert source.is_file() or any(source.iterdir())
    named = {each["source"] for each in volumes if each["type"] == "volume"}
    assert named <= set(composition()["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_only_this_machine_reaches_it(name: str) -> None:
    """Ports are published on loopback."""
    assert all(port.startswith(f"{LOOPBACK}:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights(name: str) -> None:
    """Ours have a file system that can only be read, no capability, and no way to more."""
    service = SERVICES[name]
    assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one(name: str) -> None:
    """No variable of ours is misspelt: each one is a setting."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) - known == set()


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    """promtool finds nothing wrong with the configuration, where the rules are mounted beside it."""
    laid = {Path(target).name: source for source, target in mounts(SERVICES["prometheus"])}
    assert set(laid) == {"prometheus.yml", "rules"}
    for name, source in laid.items():
        (tmp_path / name).symlink_to(source)
    command = [str(require_program("promtool")), "check", "config", str(tmp_path / "prometheus.yml")]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "1 rule files found" in checked.stdout
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]


def test_prometheus_asks_where_we_answer() -> None:
    """Its targets are the services that have pages, at the ports that their settings name."""
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]
    settings = {name: SERVICES[name]["environment"] for name in OURS}
    assert job["static_configs"][0]["targets"] == [
        f"sidecar:{settings['sidecar']['MEMSIDECAR_HTTP_LISTEN'].rpartition(':')[2]}",
        f"worker:{settings['worker']['MEMSIDECAR_WORKER_HTTP_LISTEN'].rpartition(':')[2]}",
    ]


def test_grafana_finds_the_dashboard() -> None:
    """The source of data that the dashboard asks for is provisioned, and the dashboard lies where it is looked for."""
    seen = {target: source for source, target in mounts(SERVICES["grafana"])}
    (source,) = yaml.safe_load((seen["/etc/grafana/provisioning/datasources"] / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert source["isDefault"]
    (provider,) = yaml.safe_load((seen["/etc/grafana/provisioning/dashboards"] / "memsidecar.yaml").read_text())[
        "providers"
    ]
    folder = provider["options"]["path"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert json.loads((seen[folder] / home.name).read_text())["uid"] == "memsidecar"


@pytest.fixture
def there(start_redis: StartRedis, temporal_program: Path, children: Children) -> dict[str, str]:
    """Redis and Temporal as the file starts them; where they are, and where the others are to listen."""
    program, *options = SERVICES["redis"]["command"]
    assert program == "redis-server"
    server = start_redis(*options)
    temporal = children.add(ServedTemporal(port=free_port(), program=temporal_program))
    return {
        "redis:6379": f"{LOOPBACK}:{server.port}",
        "temporal:7233": f"{LOOPBACK}:{temporal.port}",
        **{f"0.0.0.0:{port}": f"{LOOPBACK}:{free_port()}" for port in (6380, 9464, 9465)},
    }


def has_pages(address: str) -> Callable[[Served], bool]:
    """Return a check whether a program is ready by its own account."""
    return lambda _: http_succeeds(int(address.rpartition(":")[2]), "/readyz")


def polls(worker: Served) -> bool:
    """Return whether a worker has reached Temporal."""
    return worker.has_printed(WORKER_READY_LINE)


def test_the_whole_composition_works(there: dict[str, str], children: Children) -> None:
    """Redis, Temporal, sidecar and worker, each with its command and settings, flush a memory together."""
    sidecar = Served("sidecar", SERVICES["sidecar"], there, has_pages(there["0.0.0.0:9464"]))
    worker = Served("worker", SERVICES["worker"], there, polls)
    for each in (sidecar, worker):
        children.add(each, wait=False)
    sidecar.wait_ready()
    worker.wait_ready()
    port, password = there["0.0.0.0:6380"].rpartition(":")[2], SERVICES["redis"]["environment"]["REDISCLI_AUTH"]
    with redis.Redis(port=int(port), password=password, protocol=3, decode_responses=True) as client:
        for number in range(30):
            client.execute_command("MEMAPPEND", "chat:1", "user", f"Where is parcel {number}? " * 12)
        flushed = client.execute_command("MEMFLUSH", "chat:1", "FORCE", "WAIT", "30000")
        assert (flushed["status"], flushed["strategy"]) == ("done", "hybrid_summary")
    assert sidecar.stop()
    assert worker.stop()


def test_the_health_of_the_worker(there: dict[str, str], children: Children) -> None:
    """The check that the file gives the worker succeeds while it runs, and fails when it has ended."""
    worker = children.add(Served("worker", SERVICES["worker"], there, polls))
    kind, *words = SERVICES["worker"]["healthcheck"]["test"]
    here = [word.replace("127.0.0.1:9465", there["0.0.0.0:9465"]) for word in words]
    assert kind == "CMD"
    assert subprocess.run(here, timeout=30).returncode == 0
    assert worker.stop()
    assert subprocess.run(here, timeout=30, capture_output=True).returncode == 1
