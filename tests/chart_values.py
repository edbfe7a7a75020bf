"""Reads the values.yaml of the Helm charts: each value with its default and its `# --` comment.

The counterparts are `chart_schema`, which makes values.schema.json of them, and `docs`, which writes both and the
tables of docs/kubernetes.md.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sidecar.config.settings import PREFIX, Settings

HELM = Path(__file__).resolve().parents[1] / "helm"
CHARTS = (HELM / "memsidecar", HELM / "memsidecar-lib")

OWN_VALUES = {
    "listen": "`gateway.listenHost` and `gateway.ports.redis`; of a sidecar loopback and `ports.redis`",
    "http_listen": "`gateway.listenHost` and `gateway.ports.metrics`; of a sidecar `listenHost` and `ports.metrics`",
    "worker_http_listen": "`worker.listenHost` and `worker.ports.metrics`",
    "unix_socket": "`unixSocket` of a sidecar",
    "unix_socket_mode": "`unixSocket.mode` of a sidecar",
    "tls_cert": "`tls.certSecret`",
    "tls_key": "`tls.certSecret`",
    "tls_client_ca": "`tls.clientCaSecret`",
    "redis_url": "`redis.urlSecret` or `redis.url`",
    "redis_tls_ca": "`redis.tls.caSecret`",
    "redis_tls_cert": "`redis.tls.certSecret`",
    "redis_tls_key": "`redis.tls.certSecret`",
    "sentinel_password": "`redis.sentinelPasswordSecret`",
    "definitions": "`definitions` or `definitionsConfigMap`",
    "temporal_tls_ca": "`temporal.tls.caSecret`",
    "temporal_tls_cert": "`temporal.tls.certSecret`",
    "temporal_tls_key": "`temporal.tls.certSecret`",
    "temporal_api_key": "`temporal.apiKeySecret`",
    "temporal_metrics_listen": "`worker.listenHost` and `worker.ports.sdkMetrics`",
}
"""Settings that are secrets, files or addresses in a pod, and the values by which a chart makes them; all others are
values of `settings`."""

WIDTH = 120

_SETTINGS = re.compile(r"(  # settings: [^\n]*\n).*?(  # end of settings\n)", re.DOTALL)


class Value(NamedTuple):
    """A value: its path with dots, its default, and what its `# --` comment says."""

    path: str
    default: Any
    meaning: str


def camel_case(name: str) -> str:
    """Return the name that a setting has in the values: `max_clients` is `maxClients`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def free_settings() -> list[str]:
    """Return the settings that are values of `settings`, in their order."""
    return [name for name in Settings.model_fields if name not in OWN_VALUES]


def with_settings(text: str) -> str:
    """Return a values.yaml with the list of its settings as it should be."""
    return _SETTINGS.sub(lambda found: found[1] + "".join(_settings_comments()) + found[2], text)


def _settings_comments() -> Iterator[str]:
    for name in free_settings():
        field = Settings.model_fields[name]
        yield from (f"  # {line}\n" for line in textwrap.wrap(str(field.description), WIDTH - len("  # ")))
        yield f"  # {camel_case(name)}: {_flow(field.default)}\n"


def values(text: str) -> list[Value]:
    """Return all values that are no maps of values themselves, in their order.

    Raises:
        ValueError: one has no comment.
    """
    comments = _comments(text)
    found: list[Value] = []
    _walk(yaml.safe_load(text), "", comments, found)
    return found


def _walk(node: dict[str, Any], above: str, comments: dict[str, str], found: list[Value]) -> None:
    for key, default in node.items():
        path = f"{above}{key}"
        if path in comments:
            found.append(Value(path, default, comments[path]))
        elif isinstance(default, dict) and default:
            _walk(default, f"{path}.", comments, found)
        else:
            raise ValueError(f"{path} has no comment that begins with '# --'")


def _comments(text: str) -> dict[str, str]:
    """Return by path what stands between `# --` and a key."""
    comments: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    told: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            told = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#"):
            told += [stripped.removeprefix("#").strip()] if told else []
        elif key := re.match(r"( *)(\w+):", line):
            above = [each for each in above if each[0] < len(key[1])]
            above.append((len(key[1]), key[2]))
            if told:
                comments[".".join(name for _, name in above)] = " ".join(told)
            told = []
        else:
            told = []
    return comments


def values_table(text: str) -> str:
    """Return the values of a values.yaml as a Markdown table."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values(text):
        default = value.default
        shown = "" if default in ("", None, [], {}) else f"`{_flow(default)}`"
        rows.append(f"| `{value.path}` | {shown} | {value.meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def own_values_table() -> str:
    """Return as a Markdown table which values stand for settings that are not in `settings`."""
    rows = ["| setting | by the values |", "|---|---|"]
    rows += [f"| `{PREFIX}{name.upper()}` | {where} |" for name, where in OWN_VALUES.items()]
    return "\n".join(rows) + "\n"


def _flow(default: object) -> str:
    return yaml.safe_dump(default, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
