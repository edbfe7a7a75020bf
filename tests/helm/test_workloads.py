"""What single objects say: times to stop, who may connect, what scales."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.rendering import Helm, named, of_kind, pods, put
from tests.helm.value_sets import DEFINITIONS, GATEWAY, REDIS

BY_KEDA = GATEWAY["workers alone, by KEDA"]
WORKER: dict[str, Any] = REDIS | {"settings": {"engine": "temporal"}, "worker": {"enabled": True}}


@pytest.mark.parametrize(("timeout_s", "grace_s"), [(None, 30), (0.5, 21), (90, 110)])
def test_a_gateway_is_not_killed_before_it_has_answered(helm: Helm, timeout_s: float | None, grace_s: int) -> None:
    """The pod's time is that of preStop, of what it has taken, and of its processes: 5 + SHUTDOWN_TIMEOUT_S + 15."""
    values = REDIS if timeout_s is None else put(REDIS, "settings.shutdownTimeoutS", timeout_s)
    [spec] = [pod["spec"] for where, pod in pods(helm.render("memsidecar", values)) if where.startswith("Deployment")]
    assert spec["terminationGracePeriodSeconds"] == grace_s
    assert spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 5


@pytest.mark.parametrize(("steps_s", "grace_s"), [(None, 30), (7.5, 18), (600, 610)])
def test_a_worker_is_not_killed_before_its_steps_have_ended(helm: Helm, steps_s: float | None, grace_s: int) -> None:
    """The pod's time is TEMPORAL_GRACE_S, the five seconds after which the worker ends by itself, and five more."""
    values = WORKER if steps_s is None else put(WORKER, "settings.temporalGraceS", steps_s)
    worker = named(helm.render("memsidecar", values), "Deployment", "talk-memsidecar-worker")
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace_s


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("settings.maxClients", 7, "checksum/settings"),
        ("redis", {"url": "redis://other"}, "checksum/settings"),
        ("definitions", DEFINITIONS["definitions"], "checksum/definitions"),
    ],
)
def test_another_configuration_starts_new_pods(helm: Helm, path: str, value: Any, changed: str) -> None:
    """What pods read when they start is in a checksum of theirs."""

    def checksums(values: dict[str, Any]) -> dict[str, str]:
        deployment = named(helm.render("memsidecar", values), "Deployment", "talk-memsidecar-gateway")
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    before, after = (
        checksums(REDIS),
        checksums({**REDIS, **put(REDIS, path, value)} if path != "redis" else {path: value}),
    )
    assert before[changed] != after[changed]


def test_other_definitions_start_new_pods_of_a_users_chart(helm: Helm) -> None:
    """The annotation of the library changes with the definitions."""
    found = [
        dict(pods(helm.render("agent", values)))["Deployment/talk-agent"]["metadata"]["annotations"][
            "checksum/memsidecar"
        ]
        for values in ({}, {"memsidecar": DEFINITIONS})
    ]
    assert found[0] != found[1]


def test_a_network_policy_lists_all_that_is_allowed(helm: Helm) -> None:
    """Clients, the test and the monitoring come in; DNS, Redis, Temporal and models may be reached, where said."""
    manifests = helm.render("memsidecar", GATEWAY["all there is"])
    gateway = named(manifests, "NetworkPolicy", "talk-memsidecar-gateway")["spec"]
    clients, monitoring = gateway["ingress"]
    assert [each["port"] for each in clients["ports"]] == ["redis"]
    assert clients["from"][0] == {"podSelector": {}}
    assert clients["from"][1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert [each["port"] for each in monitoring["ports"]] == ["metrics"]
    worker = named(manifests, "NetworkPolicy", "talk-memsidecar-worker")["spec"]
    [monitoring] = worker["ingress"]
    assert [each["port"] for each in monitoring["ports"]] == ["metrics", "sdk-metrics"]
    for policy in (gateway, worker):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        dns, redis, temporal, models = policy["egress"]
        assert {each["port"] for each in dns["ports"]} == {53}
        assert [each["port"] for each in redis["ports"]] == [6379, 26379]
        assert redis["to"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
        assert [each["port"] for each in temporal["ports"]] == [7233]
        assert [each["port"] for each in models["ports"]] == [443]
        assert "to" not in models


def test_keda_asks_about_the_queue_that_the_workers_serve(helm: Helm) -> None:
    """Address, namespace, queue and version are the settings', the secrets those of the workers."""
    manifests = helm.render("memsidecar", put(BY_KEDA, "settings.temporalTaskQueue", "flushes"))
    scaled = named(manifests, "ScaledObject", "talk-memsidecar-worker")["spec"]
    [trigger] = scaled["triggers"]
    assert trigger["type"] == "temporal"
    assert trigger["metadata"] == {
        "endpoint": "temporal.example:7233",
        "namespace": "agents",
        "taskQueue": "flushes",
        "targetQueueSize": "20",
        "workerDeploymentName": "memsidecar",
        "workerDeploymentBuildId": "1",
        "tlsServerName": "temporal.internal",
    }
    secrets = named(manifests, "TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]["secretTargetRef"]
    assert {each["parameter"]: (each["name"], each["key"]) for each in secrets} == {
        "apiKey": ("temporal", "key"),
        "ca": ("temporal-ca", "ca.crt"),
        "cert": ("temporal-cert", "tls.crt"),
        "key": ("temporal-cert", "tls.key"),
    }
    deployment = named(manifests, "Deployment", scaled["scaleTargetRef"]["name"])
    assert "replicas" not in deployment["spec"], "an upgrade would undo what KEDA has done"


def test_one_pod_of_a_kind_has_no_disruption_budget(helm: Helm) -> None:
    """There is nothing that it could keep up."""
    manifests = helm.render("memsidecar", put(WORKER, "worker.replicas", 1))
    assert [each["metadata"]["name"] for each in of_kind(manifests, "PodDisruptionBudget")] == [
        "talk-memsidecar-gateway"
    ]


def test_no_test_where_clients_must_show_a_certificate(helm: Helm) -> None:
    """Nobody has one for the pod of `helm test`."""
    values = REDIS | {"tls": {"certSecret": {"name": "cert"}}}
    assert of_kind(helm.render("memsidecar", values), "Pod")
    assert not of_kind(helm.render("memsidecar", put(values, "tls.clientCaSecret.name", "ca")), "Pod")


def test_selectors_outlive_an_upgrade(helm: Helm) -> None:
    """A selector cannot be changed, so nothing is in it that a new version, or another label of the user's, changes."""
    changed = {**GATEWAY["all there is"], "commonLabels": {"team": "others"}, "image": {"tag": "9"}}
    for values in (GATEWAY["all there is"], changed):
        for deployment in of_kind(helm.render("memsidecar", values), "Deployment"):
            component = deployment["metadata"]["name"].rpartition("-")[2]
            assert deployment["spec"]["selector"]["matchLabels"] == {
                "app.kubernetes.io/name": "memsidecar",
                "app.kubernetes.io/instance": "talk",
                "app.kubernetes.io/component": component,
            }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (REDIS, "redis://talk-memsidecar-gateway.agents:6380"),
        (REDIS, "helm test talk --namespace agents"),
        (REDIS, "Flushes run in the gateway itself"),
        (REDIS | {"tls": {"certSecret": {"name": "cert"}}}, "rediss://talk-memsidecar-gateway.agents:6380"),
        (REDIS | {"settings": {"engine": "temporal"}}, "this release has none"),
        (WORKER, "Flushes run on Temporal, in the workers of talk-memsidecar-worker"),
        (REDIS | {"gateway": {"enabled": False}}, "Nothing runs"),
    ],
)
def test_the_notes_say_what_is_there_now(helm: Helm, values: dict[str, Any], said: str) -> None:
    """Where agents connect, how to try it, and what runs the flushes."""
    assert said in helm.notes("memsidecar", values)
