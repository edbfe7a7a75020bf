"""What the values are: all settings of the program, a meaning each, nothing without effect, nothing unknown taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from sidecar import __version__
from sidecar.config.settings import Settings
from tests.chart_schema import settings_schema
from tests.chart_values import CHARTS, HELM, OWN_VALUES, camel_case, free_settings, values
from tests.helm.rendering import Helm, put, without_checksums
from tests.helm.value_sets import AGENT, DEFINITIONS, GATEWAY, REDIS

EVERYTHING = GATEWAY["all there is"]
BY_HPA = GATEWAY["workers by CPU"]
BY_KEDA = GATEWAY["workers alone, by KEDA"]
PEER = [{"namespaceSelector": {"matchLabels": {"name": "elsewhere"}}}]
VARIABLE = [{"name": "A", "value": "b"}]
VOLUME = [{"name": "own", "emptyDir": {}}]
SECRET = "another"

GATEWAY_CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "image.repository": (REDIS, "registry.example/memsidecar"),
    "image.tag": (REDIS, "1.2.3"),
    "image.digest": (REDIS, f"sha256:{'1' * 64}"),
    "image.pullPolicy": (REDIS, "Always"),
    "imagePullSecrets": (REDIS, [{"name": SECRET}]),
    "nameOverride": (REDIS, "memory"),
    "fullnameOverride": (REDIS, "memory"),
    "commonLabels": (REDIS, {"team": "b"}),
    "redis.url": (GATEWAY["a Redis without a password"], "redis://other:6379/0"),
    "redis.urlSecret.name": (REDIS, SECRET),
    "redis.urlSecret.key": (REDIS, SECRET),
    "redis.sentinelPasswordSecret.name": (EVERYTHING, SECRET),
    "redis.sentinelPasswordSecret.key": (EVERYTHING, SECRET),
    "redis.tls.caSecret.name": (EVERYTHING, SECRET),
    "redis.tls.caSecret.key": (EVERYTHING, SECRET),
    "redis.tls.certSecret.name": (EVERYTHING, SECRET),
    "temporal.apiKeySecret.name": (EVERYTHING, SECRET),
    "temporal.apiKeySecret.key": (EVERYTHING, SECRET),
    "temporal.tls.caSecret.name": (EVERYTHING, SECRET),
    "temporal.tls.caSecret.key": (EVERYTHING, SECRET),
    "temporal.tls.certSecret.name": (EVERYTHING, SECRET),
    "tls.certSecret.name": (EVERYTHING, SECRET),
    "tls.clientCaSecret.name": (EVERYTHING, SECRET),
    "tls.clientCaSecret.key": (EVERYTHING, SECRET),
    "definitions": (REDIS, DEFINITIONS["definitions"]),
    "definitionsConfigMap.name": (EVERYTHING, SECRET),
    "definitionsConfigMap.keys": (EVERYTHING, ["other.yaml"]),
    "settings": (REDIS, {"maxClients": 5}),
    "extraEnv": (REDIS, VARIABLE),
    "extraVolumes": (REDIS, VOLUME),
    "extraVolumeMounts": (REDIS, [{"name": "memsidecar-tmp", "mountPath": "/scratch"}]),
    "serviceAccount.create": (REDIS, False),
    "serviceAccount.name": (REDIS, SECRET),
    "serviceAccount.annotations": (REDIS, {"a": "b"}),
    "podSecurityContext": (REDIS, {"runAsUser": 20001}),
    "gateway.enabled": (REDIS, False),
    "gateway.replicas": (REDIS, 5),
    "gateway.listenHost": (REDIS, "[::]"),
    "gateway.ports.redis": (REDIS, 7000),
    "gateway.ports.metrics": (REDIS, 7001),
    "gateway.service.type": (REDIS, "LoadBalancer"),
    "gateway.service.port": (REDIS, 6379),
    "gateway.service.annotations": (REDIS, {"a": "b"}),
    "worker.enabled": (BY_HPA, False),
    "worker.replicas": (EVERYTHING, 7),
    "worker.listenHost": (EVERYTHING, "[::]"),
    "worker.ports.metrics": (EVERYTHING, 7002),
    "worker.ports.sdkMetrics": (EVERYTHING, 7003),
    "worker.autoscaling.kind": (BY_HPA, "none"),
    "worker.autoscaling.minReplicas": (BY_KEDA, 2),
    "worker.autoscaling.maxReplicas": (BY_HPA, 3),
    "worker.autoscaling.hpa.cpuPercent": (BY_HPA, 30),
    "worker.autoscaling.keda.queuedPerWorker": (BY_KEDA, 30),
    "monitoring.scrape": (EVERYTHING, "PodMonitor"),
    "monitoring.interval": (EVERYTHING, "1m30s"),
    "monitoring.labels": (EVERYTHING, {"a": "b"}),
    "monitoring.rules.enabled": (EVERYTHING, False),
    "monitoring.dashboards.enabled": (EVERYTHING, False),
    "monitoring.dashboards.labels": (EVERYTHING, {"a": "b"}),
    "monitoring.dashboards.annotations": (EVERYTHING, {"a": "b"}),
    "networkPolicy.enabled": (EVERYTHING, False),
    "networkPolicy.clients": (EVERYTHING, PEER),
    "networkPolicy.monitoring": (EVERYTHING, PEER),
    "networkPolicy.redis.ports": (EVERYTHING, [7000]),
    "networkPolicy.redis.to": (EVERYTHING, PEER),
    "networkPolicy.temporal.ports": (EVERYTHING, [7000]),
    "networkPolicy.temporal.to": (EVERYTHING, PEER),
    "networkPolicy.models.ports": (EVERYTHING, [7000]),
    "networkPolicy.models.to": (EVERYTHING, PEER),
    "test.definition": (REDIS, "chat"),
    "test.resources": (REDIS, {"limits": {"memory": "1Gi"}}),
} | {
    f"{part}.{name}": (EVERYTHING, value)
    for part in ("gateway", "worker")
    for name, value in {
        "resources": {"limits": {"memory": "7Gi"}},
        "podLabels": {"a": "b"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "low",
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}],
    }.items()
}
"""For every value of the chart memsidecar: values under which it counts, and another one."""

LIBRARY_CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    path: ({} if base in (REDIS, GATEWAY["a Redis without a password"]) else AGENT["all there is"], value)
    for path, (base, value) in GATEWAY_CHANGES.items()
    if path.split(".")[0] in ("image", "redis", "temporal", "settings", "extraEnv", "extraVolumes", "extraVolumeMounts")
} | {
    "redis.url": ({"memsidecar": {"redis": {"urlSecret": {"name": ""}, "url": "redis://a"}}}, "redis://b"),
    "definitions": ({}, DEFINITIONS["definitions"]),
    "definitionsConfigMap.name": (AGENT["all there is"], SECRET),
    "definitionsConfigMap.keys": (AGENT["all there is"], ["other.yaml"]),
    "listenHost": ({}, "[::]"),
    "ports.redis": ({}, 7000),
    "ports.metrics": ({}, 7001),
    "unixSocket.enabled": ({}, True),
    "unixSocket.mode": (AGENT["all there is"], "0700"),
    "readiness": ({}, True),
    "runAsUser": ({}, 20001),
    "resources": ({}, {"limits": {"memory": "7Gi"}}),
    "podMonitor.enabled": ({}, True),
    "podMonitor.interval": (AGENT["all there is"], "5s"),
    "podMonitor.labels": (AGENT["all there is"], {"a": "b"}),
}
"""The same for memsidecar-lib, by way of the example agent."""


def _documented(chart: Path) -> list[str]:
    return [value.path for value in values((chart / "values.yaml").read_text())]


def test_every_value_is_tried() -> None:
    """The tables above hold every value of both charts, and no other."""
    gateway, library = CHARTS
    assert sorted(GATEWAY_CHANGES) == sorted(_documented(gateway))
    assert sorted(LIBRARY_CHANGES) == sorted(_documented(library))


@pytest.mark.parametrize("path", GATEWAY_CHANGES)
def test_every_value_has_an_effect(helm: Helm, path: str) -> None:
    """Another value makes another manifest, beyond a checksum."""
    base, value = GATEWAY_CHANGES[path]
    before, after = helm.render("memsidecar", base), helm.render("memsidecar", put(base, path, value))
    assert without_checksums(before) != without_checksums(after)


@pytest.mark.parametrize("path", LIBRARY_CHANGES)
def test_every_value_of_the_library_has_an_effect(helm: Helm, path: str) -> None:
    """The same for what is put into a user's own pod."""
    base, value = LIBRARY_CHANGES[path]
    before, after = helm.render("agent", base), helm.render("agent", put(base, f"memsidecar.{path}", value))
    assert without_checksums(before) != without_checksums(after)


def test_every_setting_is_a_value() -> None:
    """Each setting of the program is one of `settings`, or made by other values; and no value is of another setting."""
    assert OWN_VALUES.keys() <= Settings.model_fields.keys()
    assert settings_schema()["properties"].keys() == {camel_case(name) for name in free_settings()}
    for chart in CHARTS:
        text = (chart / "values.yaml").read_text()
        told = text[text.index("  # settings:") : text.index("  # end of settings")]
        for name in free_settings():
            assert f"\n  # {camel_case(name)}: " in told, name


def test_no_secret_no_file_and_no_address_of_ours_is_a_value_of_settings() -> None:
    """The first two are made from references, not from text in a ConfigMap; the last goes with ports and probes."""
    for name in free_settings():
        assert not name.endswith("listen"), f"{name} belongs into OWN_VALUES"
        field: FieldInfo = Settings.model_fields[name]
        assert not {SecretStr, Path} & set(_types(field.annotation)), f"{name} belongs into OWN_VALUES"


def _types(annotation: Any) -> list[Any]:
    parts = get_args(annotation)
    return [annotation, *(each for part in parts for each in _types(part))]


def test_the_charts_are_of_this_version() -> None:
    """Their appVersion, and so the image's tag, is the program's version; what depends on the library names its own."""
    library = yaml.safe_load((HELM / "memsidecar-lib" / "Chart.yaml").read_text())
    for file in sorted(HELM.rglob("Chart.yaml")):
        chart = yaml.safe_load(file.read_text())
        assert chart.get("appVersion", __version__) == __version__, file
        assert [each["version"] for each in chart.get("dependencies", [])] in ([], [library["version"]]), file
    assert yaml.safe_load((HELM / "examples/agent/values.yaml").read_text())["image"] == f"memsidecar:{__version__}"
