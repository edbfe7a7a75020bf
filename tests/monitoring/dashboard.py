"""Makes helm/memsidecar/dashboards/memsidecar.json from `panels`; `python -m tests.docs` writes it.

The format is that of https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/,
schema version 39, which Grafana 10.4 and later read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.monitoring.panels import ROWS, Panel, Query

FILE = Path(__file__).resolve().parents[2] / "helm/memsidecar/dashboards/memsidecar.json"

ON = 'job=~"$job", instance=~"$instance"'
WINDOW = "$__rate_interval"

COLUMNS = 24
"""Of Grafana's grid."""

HEIGHTS = {"stat": 4, "timeseries": 8}

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": "memsidecar",
        "title": "memsidecar",
        "description": "Sidecars and workers: requests, clients, memories, flushes, cost of summaries",
        "tags": ["memsidecar"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels()),
    }


def dashboard_text() -> str:
    """Return the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, query in (
        ("job", "label_values(memsidecar_build_info, job)"),
        ("instance", 'label_values(memsidecar_build_info{job=~"$job"}, instance)'),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,  # with the time range: sidecars come and go with their pods
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }
    for name, label, price in (("price_in", "$ per 1M tokens in", "0.15"), ("price_out", "$ per 1M tokens out", "0.6")):
        value = {"text": price, "value": price}
        yield {"name": name, "label": label, "type": "textbox", "query": price, "current": value, "options": [value]}


def _panels() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in ROWS:
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + height
            number, height = number + 1, HEIGHTS[panel.kind]
            yield _panel(number, panel, {"h": height, "w": panel.width, "x": x, "y": y})
            x += panel.width
        y += height


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _STAT if panel.kind == "stat" else _SERIES,
        "targets": [_target(letter, query) for letter, query in zip("ABCDEFGH", panel.queries, strict=False)],
    }


_STAT = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
_SERIES = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "red" if panel.good is not None else "green", "value": None}]
    if panel.good is not None:
        steps.append({"color": "green", "value": panel.good})
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    drawn = {"custom": {"fillOpacity": 8, "showPoints": "never"}} if panel.kind == "timeseries" else {}
    return {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}, **drawn}


def _target(letter: str, query: Query) -> dict[str, Any]:
    expression = query.expression.replace("$on", ON).replace("$window", WINDOW)
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": query.name or "__auto",
        "editorMode": "code",
        "range": True,
    }
