"""Values as different users would have them: together they make every template render everything that it can."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]

REDIS: Values = {"redis": {"urlSecret": {"name": "redis"}}}

DEFINITIONS: Values = {
    "definitions": {
        "defaults": {"ttl": "30d"},
        "definitions": [
            {"id": "chat", "model": "gpt-4o", "max_tokens": 12_000_000, "flush": {"threshold": 0.8}},
            {"id": "notes", "max_messages": 500, "key_template": "{{ user }}:{{ topic }}"},
        ],
    }
}

_TEMPORAL_PLACE: Values = {
    "temporal": {
        "apiKeySecret": {"name": "temporal", "key": "key"},
        "tls": {"caSecret": {"name": "temporal-ca"}, "certSecret": {"name": "temporal-cert"}},
    },
    "settings": {
        "engine": "temporal",
        "temporalAddress": "temporal.example:7233",
        "temporalNamespace": "agents",
        "temporalTlsServerName": "temporal.internal",
        "temporalDeployment": "memsidecar",
        "temporalBuildId": "1",
    },
}

_SENTINELS_BY_TLS: Values = {
    "urlSecret": {"name": "redis", "key": "sentinels"},
    "sentinelPasswordSecret": {"name": "sentinel"},
    "tls": {"caSecret": {"name": "redis-ca"}, "certSecret": {"name": "redis-cert"}},
}

GATEWAY: dict[str, Values] = {
    "the least": REDIS,
    "a Redis without a password": {"redis": {"url": "redis://redis:6379/0"}, "settings": {"protectedMode": False}},
    "workers by CPU": {
        **REDIS,
        **DEFINITIONS,
        "settings": {"engine": "temporal", "maxOutputBytes": 2**31, "temporalGraceS": 7.5},
        "worker": {"enabled": True, "autoscaling": {"kind": "hpa"}},
    },
    "workers alone, by KEDA": {
        **REDIS,
        **_TEMPORAL_PLACE,
        "gateway": {"enabled": False},
        "worker": {"enabled": True, "autoscaling": {"kind": "keda"}},
        "networkPolicy": {"enabled": True},
    },
    "all there is": {
        "redis": _SENTINELS_BY_TLS,
        **_TEMPORAL_PLACE,
        "definitionsConfigMap": {"name": "memories", "keys": ["chat.yaml", "notes.yml"]},
        "tls": {"certSecret": {"name": "gateway-cert"}, "clientCaSecret": {"name": "agents-ca"}},
        "image": {"repository": "registry.example:5000/memsidecar", "digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "agents"},
        "extraEnv": [{"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "openai", "key": "key"}}}],
        "extraVolumes": [{"name": "codec", "configMap": {"name": "codec"}}],
        "extraVolumeMounts": [{"name": "codec", "mountPath": "/opt/codec"}],
        "serviceAccount": {"annotations": {"owner": "agents"}},
        "gateway": {
            "listenHost": "[::]",
            "service": {"type": "LoadBalancer", "port": 6379, "annotations": {"internal": "true"}},
            "podLabels": {"tier": "memory"},
            "podAnnotations": {"mesh": "off"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "agents", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "priorityClassName": "high",
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ],
        },
        "worker": {"enabled": True, "replicas": 3},
        "monitoring": {
            "scrape": "ServiceMonitor",
            "labels": {"prometheus": "main"},
            "rules": {"enabled": True},
            "dashboards": {"enabled": True, "annotations": {"folder": "Agents"}},
        },
        "networkPolicy": {
            "enabled": True,
            "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "redis": {"ports": [6379, 26379], "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
            "models": {"ports": [443]},
        },
    },
    "scraped pod by pod": {**REDIS, "gateway": {"replicas": 1}, "monitoring": {"scrape": "PodMonitor"}},
}
"""Of the chart memsidecar."""

AGENT: dict[str, Values] = {
    "the example as it is": {},
    "a built-in definition, and a user of its own": {
        "memsidecar": {"definitions": None, "runAsUser": 20001, "readiness": True, "image": {"tag": "2"}}
    },
    "all there is": {
        "memsidecar": {
            "redis": _SENTINELS_BY_TLS,
            **_TEMPORAL_PLACE,
            "definitions": None,
            "definitionsConfigMap": {"name": "memories"},
            "unixSocket": {"enabled": True, "mode": "0770"},
            "extraEnv": [{"name": "OPENAI_API_KEY", "value": "none"}],
            "extraVolumes": [{"name": "codec", "configMap": {"name": "codec"}}],
            "extraVolumeMounts": [{"name": "codec", "mountPath": "/opt/codec"}],
            "podMonitor": {"enabled": True, "labels": {"prometheus": "main"}},
        }
    },
}
"""Of the example agent, whose pod has the sidecar."""

SETS = [("memsidecar", name) for name in GATEWAY] + [("agent", name) for name in AGENT]


def values_of(chart: str, name: str) -> Values:
    """Return a set of values by the names in `SETS`."""
    return (GATEWAY if chart == "memsidecar" else AGENT)[name]
