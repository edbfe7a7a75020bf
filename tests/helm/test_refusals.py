"""What the charts refuse, and that they say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.rendering import Helm, put
from tests.helm.value_sets import DEFINITIONS, GATEWAY, REDIS

BY_KEDA = GATEWAY["workers alone, by KEDA"]

REFUSED: tuple[tuple[str, Any, str], ...] = (
    ("misspelt", 1, "additional properties 'misspelt' not allowed"),
    ("gateway.replica", 1, "additional properties 'replica' not allowed"),
    ("redis.password", "x", "additional properties 'password' not allowed"),
    ("settings.maxClient", 1, "additional properties 'maxClient' not allowed"),
    ("settings.redisUrl", "redis://a", "additional properties 'redisUrl' not allowed"),
    ("settings.maxClients", 0, "minimum: got 0, want 1"),
    ("settings.maxClients", "many", "got string, want integer"),
    ("settings.keyPrefix", "a b", "does not match pattern"),
    ("settings.engine", "cron", "value must be one of 'local', 'temporal'"),
    ("settings.temporalTls", "yes", "got string, want boolean"),
    ("definitions", {"definition": []}, "additional properties 'definition' not allowed"),
    ("definitions", {"definitions": [{"id": "chat", "max_token": 1}]}, "additional properties 'max_token' not allowed"),
    ("definitionsConfigMap.keys", ["chat.json"], "does not match pattern"),
    ("image.digest", "sha256:abc", "does not match pattern"),
    ("image.repository", "memsidecar:1", "does not match pattern"),
    ("image.pullPolicy", "Sometimes", "value must be one of"),
    ("redis.urlSecret.name", "Not A Name", "does not match pattern"),
    ("gateway.ports.redis", 80, "minimum: got 80, want 1,024"),
    ("gateway.replicas", 0, "minimum: got 0, want 1"),
    ("gateway.listenHost", "localhost", "does not match pattern"),
    ("gateway.resources.memory", "1Gi", "additional properties 'memory' not allowed"),
    (
        "gateway.podLabels",
        {"app.kubernetes.io/component": "x"},
        "at '/gateway/podLabels/app.kubernetes.io~1component': false schema",
    ),
    ("commonLabels", {"team": 7}, "got number, want string"),
    ("gateway.service.type", "ExternalName", "value must be one of"),
    ("worker.autoscaling.kind", "vpa", "value must be one of"),
    ("monitoring.scrape", "both", "value must be one of"),
    ("monitoring.interval", "30", "does not match pattern"),
    ("networkPolicy.clients", [{}], "minProperties: got 0, want 1"),
    ("networkPolicy.clients", [{"cidr": "10.0.0.0/8"}], "additional properties 'cidr' not allowed"),
    ("podSecurityContext.runAsUser", 0, "minimum: got 0, want 1"),
    ("podSecurityContext.runAsNonRoot", False, "value must be true"),
    ("redis.urlSecret.name", "", "say where your Redis is"),
    ("redis.url", "redis://redis:6379/0", "exclude each other"),
    ("worker.enabled", True, "worker.enabled needs settings.engine temporal"),
)
"""A value, put into values that are right, and what is said to it."""


@pytest.mark.parametrize(("path", "value", "said"), REFUSED)
def test_a_mistake_is_named(helm: Helm, path: str, value: Any, said: str) -> None:
    """Nothing is installed, and the text says what is wrong with which value."""
    text = helm.refusal("memsidecar", put(REDIS, path, value))
    assert said in text
    if "Error: values don't meet the specifications" in text:
        assert f"/{path.rpartition('.')[0].replace('.', '/')}".rstrip("/") in text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"redis": {"url": "redis://user:secret@redis:6379/0"}}, "values are no place for one"),
        (
            REDIS | DEFINITIONS | {"definitionsConfigMap": {"name": "memories"}},
            "definitions and definitionsConfigMap exclude",
        ),
        (
            REDIS | {"settings": {"engine": "temporal"}, "worker": {"enabled": True, "autoscaling": {"kind": "keda"}}},
            "needs settings.temporalAddress",
        ),
        (BY_KEDA | {"temporal": {"tls": {"caSecret": {"name": "ca"}}}}, "only with an API key or a client certificate"),
        (put(BY_KEDA, "settings.temporalTls", True) | {"temporal": {}}, "only with an API key or a client certificate"),
        (
            BY_KEDA | {"temporal": {"apiKeySecret": {"name": "key"}, "tls": {"caSecret": {"name": "ca"}}}},
            "only where it shows a client certificate",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named(helm: Helm, values: dict[str, Any], said: str) -> None:
    """What no schema can say is said by the templates, without the secret that should not be there."""
    text = helm.refusal("memsidecar", values)
    assert said in text
    assert "secret@" not in text


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("misspelt", 1, "additional properties 'misspelt' not allowed"),
        ("settings.maxClients", 0, "minimum: got 0, want 1"),
        ("runAsUser", 0, "minimum: got 0, want 1"),
        ("unixSocket.mode", "rwx", "does not match pattern"),
        ("tls.certSecret.name", "cert", "additional properties 'tls' not allowed"),
        ("redis.urlSecret.name", "", "say where your Redis is"),
    ],
)
def test_a_mistake_in_a_users_own_chart_is_named(helm: Helm, path: str, value: Any, said: str) -> None:
    """The library's values are checked wherever it is used."""
    assert said in helm.refusal("agent", put({}, f"memsidecar.{path}", value))
