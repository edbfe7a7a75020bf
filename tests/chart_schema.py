"""Makes the values.schema.json of the Helm charts: from values.yaml, the settings' model, and the definitions' schema.

Every value has the type of its default, and nothing that values.yaml does not name is allowed. What a default cannot
say (limits, choices, what an empty list holds) stands in `RULES`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sidecar.config.settings import Settings
from tests.chart_values import camel_case, free_settings, values
from tests.definition_schema import definitions_schema

Schema = dict[str, Any]

_NAME = {"type": "string", "maxLength": 253, "pattern": "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"}
_KEY = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[A-Za-z0-9._-]+$"}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_OUR_LABELS = ("name", "instance", "component", "version", "part-of", "managed-by")
# Each label stands once in a manifest, and by some of them pods are found.
_LABELS = _TEXTS | {
    # Not by propertyNames, for which Helm names another place than that of the mistake.
    "properties": dict.fromkeys([*(f"app.kubernetes.io/{name}" for name in _OUR_LABELS), "helm.sh/chart"], False)
}
_OBJECT = {"type": "object"}
_OBJECTS = {"type": "array", "items": _OBJECT}
_NAMED = {"type": "array", "items": {"type": "object", "required": ["name"]}}
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
_POD_PORT = _PORT | {"minimum": 1024}
_PORTS = {"type": "array", "items": _PORT}
_PEERS = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": dict.fromkeys(("podSelector", "namespaceSelector", "ipBlock"), _OBJECT),
    },
}
_QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_USER = {"type": ["integer", "null"], "minimum": 1}

RULES: tuple[tuple[str, Schema], ...] = (
    (r"image\.repository", {"type": "string", "minLength": 1, "pattern": "^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?$"}),
    (r"image\.tag", {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"}),
    (r"image\.digest", {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}),
    (r"image\.pullPolicy", {"enum": ["Always", "IfNotPresent", "Never"]}),
    (
        r"imagePullSecrets",
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": _NAME},
            },
        },
    ),
    (r"definitions", {"anyOf": [{"type": "object", "maxProperties": 0}, {"$ref": "#/$defs/DefinitionsFile"}]}),
    (
        r"definitionsConfigMap\.keys",
        {"type": "array", "minItems": 1, "items": _KEY | {"pattern": "^[A-Za-z0-9._-]+\\.ya?ml$"}},
    ),
    (r"settings", {"$ref": "#/$defs/Settings"}),
    (r"extraEnv|extraVolumes", _NAMED),
    (r"extraVolumeMounts", {"type": "array", "items": {"type": "object", "required": ["name", "mountPath"]}}),
    (r"(.+\.)?(nameOverride|fullnameOverride)", {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"}),
    (r"(.+\.)?(commonLabels|labels|podLabels)", _LABELS),
    (r"(.+\.)?(annotations|podAnnotations|nodeSelector)", _TEXTS),
    (r"(.+\.)?(\w*Secret|definitionsConfigMap|serviceAccount)\.name", _NAME),
    (r"(.+\.)?\w*Secret\.key", _KEY),
    (
        r"podSecurityContext",
        _OBJECT | {"properties": {"runAsUser": _USER, "runAsNonRoot": {"const": True}}},
    ),
    (r"(.+\.)?replicas|.+\.(min|max)Replicas|.+\.queuedPerWorker", {"type": "integer", "minimum": 1}),
    (r".+\.cpuPercent", {"type": "integer", "minimum": 1, "maximum": 1000}),
    (r"(.+\.)?listenHost", {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+){3}|\\[[0-9a-f:]+\\])$"}),
    (r"((gateway|worker)\.)?ports\.\w+", _POD_PORT),
    (r"gateway\.service\.port", _PORT),
    (r"gateway\.service\.type", {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}),
    (
        r"(.+\.)?resources",
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"requests": _QUANTITIES, "limits": _QUANTITIES, "claims": _OBJECTS},
        },
    ),
    (r".+\.tolerations|.+\.topologySpreadConstraints", _OBJECTS),
    (r".+\.affinity", _OBJECT),
    (r".+\.priorityClassName", _NAME),
    (r"worker\.autoscaling\.kind", {"enum": ["none", "hpa", "keda"]}),
    (r"monitoring\.scrape", {"enum": ["none", "PodMonitor", "ServiceMonitor"]}),
    (r"(.+\.)interval", {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}),
    (r"networkPolicy\.(clients|monitoring|.+\.to)", _PEERS),
    (r"networkPolicy\..+\.ports", _PORTS),
    (r"unixSocket\.mode", {"type": "string", "pattern": "^0?[0-7]{3}$"}),
    (r"runAsUser", _USER),
    (r"test\.definition", {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}),
)
"""What values may be, by a pattern of their paths; the first that fits counts."""


def schema_text(values_yaml: str, title: str) -> str:
    """Return the values.schema.json that goes with a values.yaml."""
    definitions = definitions_schema()
    parts = definitions.pop("$defs")
    definitions.pop("$schema", None)
    # Helm adds the first; the second holds the library's own defaults, which a chart that depends on it gets.
    top: Schema = {"global": _OBJECT, "memsidecar-lib": _OBJECT} if title == "memsidecar" else {"global": _OBJECT}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Values of the chart {title}, made from its values.yaml by `python -m tests.docs`",
        **_object(top),
        "$defs": {"Settings": settings_schema(), "DefinitionsFile": definitions, **parts},
    }
    for value in values(values_yaml):
        *above, name = value.path.split(".")
        node = schema
        for each in above:
            node = node["properties"].setdefault(each, _object({}))
        node["properties"][name] = {"description": value.meaning, **_rule(value.path, value.default)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def settings_schema() -> Schema:
    """Return the schema of `settings`: what the program itself takes, as far as a schema can say it."""
    fields = Settings.model_json_schema()["properties"]
    return _object({camel_case(name): _plain(fields[name]) for name in free_settings()})


def _object(properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(field: Schema) -> Schema:
    return {key: each for key, each in field.items() if key != "title"}


def _rule(path: str, default: object) -> Schema:
    for pattern, rule in RULES:
        if re.fullmatch(pattern, path):
            # Draft 7 ignores whatever stands beside a reference.
            return {"allOf": [rule]} if "$ref" in rule else rule
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, str):
        return {"type": "string"}
    raise ValueError(f"RULES does not say what {path} may be")
