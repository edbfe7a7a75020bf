"""What the charts render is what Kubernetes takes, and runs with no right that it does not need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from tests.helm.rendering import NEWEST, OLDEST, Helm, Manifest, containers, of_kind, pods
from tests.helm.value_sets import SETS, values_of

CUSTOM = {
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
}
"""Kinds that Kubernetes's own schemas do not have."""

sets = pytest.mark.parametrize(("chart", "name"), SETS)


@sets
def test_helm_finds_no_mistake(helm: Helm, chart: str, name: str) -> None:
    """`helm lint --strict` passes."""
    helm.lint(chart, values_of(chart, name))


def test_helm_finds_no_mistake_in_the_library(helm: Helm) -> None:
    """The same for the chart that has no manifest of its own."""
    helm.lint("memsidecar-lib", {})


@sets
def test_kubernetes_would_take_every_manifest(helm: Helm, chart: str, name: str) -> None:
    """Each manifest is valid, with no field that Kubernetes does not know, for the oldest version and the newest."""
    for version in (OLDEST[chart], NEWEST):
        for manifest in helm.render(chart, values_of(chart, name), kubernetes=version):
            if (manifest["apiVersion"], manifest["kind"]) not in CUSTOM:
                kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(("chart", "version"), [("memsidecar", "1.29.9"), ("agent", "1.28.9")])
def test_an_older_kubernetes_is_refused(helm: Helm, chart: str, version: str) -> None:
    """Where a native sidecar, or preStop.sleep, is not there yet, nothing is installed."""
    said = helm.refusal(
        chart, {"redis": {"urlSecret": {"name": "redis"}}} if chart == "memsidecar" else {}, kubernetes=version
    )
    assert "incompatible with Kubernetes" in said


@sets
def test_pods_keep_to_the_restricted_standard(helm: Helm, chart: str, name: str) -> None:
    """Every container of every pod meets the Pod Security Standard `restricted`, and cannot write to its own image."""
    found = list(pods(helm.render(chart, values_of(chart, name))))
    assert found
    for where, pod in found:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert all("hostPath" not in volume for volume in spec["volumes"]), where
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security.get("runAsUser") != 0, where
            assert {"requests", "limits"} <= container["resources"].keys(), where


@sets
def test_names_lead_somewhere(helm: Helm, chart: str, name: str) -> None:
    """Mounts have volumes, probes and Services have ports, selectors have pods, within and between manifests."""
    manifests = helm.render(chart, values_of(chart, name))
    labels = [pod["metadata"]["labels"] for _, pod in pods(manifests)]
    for where, pod in pods(manifests):
        volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
        assert len(volumes) == len(set(volumes)), where
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), where
            variables = [variable["name"] for variable in container.get("env", [])]
            assert len(variables) == len(set(variables)), where
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert probe not in container or container[probe]["httpGet"]["port"] in ports, where
    for manifest in manifests:
        for selector in _selectors(manifest["spec"]) if "spec" in manifest else ():
            objects = [each["metadata"]["labels"] for each in of_kind(manifests, "Service")]
            assert any(selector.items() <= each.items() for each in [*labels, *objects]), (manifest["kind"], selector)
    ports = {port["name"] for _, pod in pods(manifests) for each in containers(pod) for port in each.get("ports", [])}
    for service in of_kind(manifests, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def _selectors(spec: Manifest) -> Iterator[dict[str, str]]:
    """Yield what a manifest selects of this release."""
    if "matchLabels" in (spec.get("selector") or {}):
        yield spec["selector"]["matchLabels"]
    elif isinstance(spec.get("selector"), dict) and "clusterIP" not in spec:
        yield spec["selector"]
    if "podSelector" in spec:
        yield spec["podSelector"]["matchLabels"]


@sets
def test_names_fit_and_are_unique(helm: Helm, chart: str, name: str) -> None:
    """No two objects have one name, none is longer than a label may be, and the longest release changes nothing."""
    values = values_of(chart, name) | ({"fullnameOverride": "x" * 60} if chart == "memsidecar" else {})
    manifests = helm.render(chart, values)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))
    assert max(len(each) for _, each in names) <= 63


@pytest.mark.parametrize(("chart", "name"), [("memsidecar", "all there is"), ("agent", "all there is")])
def test_names_that_yaml_reads_otherwise_stay_names(helm: Helm, chart: str, name: str) -> None:
    """A release called 12, a Secret called 1.5 with the key `on`: Kubernetes gets texts, not numbers or booleans."""
    values = _renamed(values_of(chart, name))
    if chart == "memsidecar":
        values |= {"nameOverride": "yes", "fullnameOverride": "null"}
    for manifest in helm.render(chart, values, release="12"):
        if (manifest["apiVersion"], manifest["kind"]) not in CUSTOM:
            kubernetes_validate.validate(manifest, NEWEST, strict=True)


def _renamed(values: Any) -> Any:
    """Return values in which every Secret and ConfigMap that is named has such a name, and such a key."""
    if isinstance(values, list):
        return [_renamed(each) for each in values]
    if not isinstance(values, dict):
        return values
    changed = {key: _renamed(value) for key, value in values.items()}
    for reference in (value for key, value in changed.items() if key.endswith("Secret") and isinstance(value, dict)):
        reference |= {"name": "1.5"} | ({"key": "on"} if "cert" not in str(reference.get("name")) else {})
    if "definitionsConfigMap" in changed:
        changed["definitionsConfigMap"]["name"] = "true"
    return changed


@sets
def test_no_secret_is_in_a_manifest(helm: Helm, chart: str, name: str) -> None:
    """Secrets are named, never held: nothing is a Secret, and what may hold a password comes from one."""
    manifests = helm.render(chart, values_of(chart, name))
    assert not of_kind(manifests, "Secret")
    assert not {"MEMSIDECAR_SENTINEL_PASSWORD", "MEMSIDECAR_TEMPORAL_API_KEY"} & _plain(manifests).keys()
    assert "@" not in _plain(manifests).get("MEMSIDECAR_REDIS_URL", "")


def _plain(manifests: list[Manifest]) -> dict[str, Any]:
    """Return all variables whose values stand in a manifest."""
    found: dict[str, Any] = {}
    for manifest in of_kind(manifests, "ConfigMap"):
        found |= manifest.get("data", {})
    for _, pod in pods(manifests):
        for container in containers(pod):
            found |= {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
    assert json.dumps(found)
    return found
