"""What Prometheus and Grafana get: the chart's own files as they are, and selectors that find the pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.helm.conftest import DASHBOARD, RULES
from tests.helm.rendering import Helm, Manifest, containers, named, of_kind, pods
from tests.helm.value_sets import AGENT, REDIS

EVERYTHING = {
    "monitoring": {"rules": {"enabled": True}, "dashboards": {"enabled": True}, "labels": {"prometheus": "main"}}
}


def test_rules_and_dashboards_come_as_they_are(helm: Helm) -> None:
    """Every file of rules/ is a PrometheusRule, every one of dashboards/ a ConfigMap, braces and all."""
    manifests = helm.render("memsidecar", REDIS | EVERYTHING)
    rules = {each["metadata"]["name"]: each for each in of_kind(manifests, "PrometheusRule")}
    files = _files(helm, "rules/*.yaml")
    assert "braces" in files
    assert rules.keys() == {f"talk-memsidecar-{name}" for name in files}
    for name, text in files.items():
        assert rules[f"talk-memsidecar-{name}"]["spec"] == yaml.safe_load(text)
        assert rules[f"talk-memsidecar-{name}"]["metadata"]["labels"]["prometheus"] == "main"
    dashboards = {f"talk-memsidecar-dashboard-{name}": text for name, text in _files(helm, "dashboards/*.json").items()}
    assert "talk-memsidecar-dashboard-braces" in dashboards
    for name, text in dashboards.items():
        [shown] = named(manifests, "ConfigMap", name)["data"].values()
        assert json.loads(shown) == json.loads(text)
    assert "{{ $labels.instance }}" in RULES
    assert "{{instance}}" in DASHBOARD


def _files(helm: Helm, pattern: str) -> dict[str, str]:
    found: list[Path] = sorted(helm.chart("memsidecar").glob(pattern))
    return {file.stem: file.read_text() for file in found}


def test_nothing_is_made_that_was_not_asked_for(helm: Helm) -> None:
    """A cluster without the Prometheus operator can install the chart as it comes."""
    manifests = helm.render("memsidecar", REDIS)
    assert not {"PodMonitor", "ServiceMonitor", "PrometheusRule"} & {manifest["kind"] for manifest in manifests}
    assert not [each for each in of_kind(manifests, "ConfigMap") if "dashboard" in each["metadata"]["name"]]


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_every_process_is_scraped_once(helm: Helm, kind: str) -> None:
    """Either kind leads to all ports for metrics of gateway and worker, each once, and there is never both."""
    values = {"settings": {"engine": "temporal"}, "worker": {"enabled": True}}
    manifests = helm.render("memsidecar", REDIS | values | {"monitoring": {"scrape": kind, "interval": "15s"}})
    monitors = [each for each in manifests if each["kind"] in ("PodMonitor", "ServiceMonitor")]
    assert [monitor["kind"] for monitor in monitors] == [kind]
    spec = monitors[0]["spec"]
    if kind == "ServiceMonitor":
        services = [each for each in of_kind(manifests, "Service") if _selected(each["metadata"]["labels"], spec)]
        selectors = [service["spec"]["selector"] for service in services]
        found = [pod for each in selectors for _, pod in pods(manifests) if _has(pod["metadata"]["labels"], each)]
        offered = {port["name"] for service in services for port in service["spec"]["ports"]}
    else:
        found = [pod for _, pod in pods(manifests) if _selected(pod["metadata"]["labels"], spec)]
        offered = {port["name"] for pod in found for each in containers(pod) for port in each["ports"]}
    assert sorted(each["name"] for pod in found for each in containers(pod)) == ["memsidecar", "worker"]
    endpoints = spec["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    assert [each["port"] for each in endpoints] == ["metrics", "sdk-metrics"]
    assert {each["port"] for each in endpoints} <= offered
    assert all((each["path"], each["interval"]) == ("/metrics", "15s") for each in endpoints)


def _selected(labels: dict[str, str], spec: Manifest) -> bool:
    [expression] = spec["selector"]["matchExpressions"]
    assert expression["operator"] == "In"
    return _has(labels, spec["selector"]["matchLabels"]) and labels.get(expression["key"]) in expression["values"]


def test_the_sidecars_of_a_users_chart_are_scraped(helm: Helm) -> None:
    """The library's PodMonitor selects the agent's pod, and a port that the sidecar alone has."""
    manifests = helm.render("agent", AGENT["all there is"])
    [monitor] = of_kind(manifests, "PodMonitor")
    [(_, pod)] = pods(manifests)
    assert _has(pod["metadata"]["labels"], monitor["spec"]["selector"]["matchLabels"])
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    having = [
        each["name"] for each in containers(pod) for port in each.get("ports", []) if port["name"] == endpoint["port"]
    ]
    assert having == ["memsidecar"]


def _has(labels: dict[str, str], selector: dict[str, str]) -> bool:
    return selector.items() <= labels.items()
