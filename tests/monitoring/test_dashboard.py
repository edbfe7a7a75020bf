"""The dashboard: the file is what `python -m tests.docs` writes, fits Grafana's grid, and names what there is."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from tests.monitoring.dashboard import COLUMNS, FILE, dashboard, dashboard_text
from tests.monitoring.naming import named
from tests.monitoring.panels import ROWS

PANELS: list[dict[str, Any]] = dashboard()["panels"]


def test_the_file_is_that_of_the_code() -> None:
    """The file is the panels as they are."""
    assert FILE.read_text() == dashboard_text()
    assert json.loads(FILE.read_text())["uid"] == "memsidecar"


def test_panels_do_not_overlap() -> None:
    """Each has a place of its own, within the grid, and an id of its own."""
    cells = [
        {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        for place in (panel["gridPos"] for panel in PANELS)
    ]
    assert all(one.isdisjoint(other) for one, other in combinations(cells, 2))
    assert all(x < COLUMNS for cell in cells for x, _ in cell)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize("panel", [panel for row in ROWS for panel in row.panels], ids=lambda panel: panel.title)
def test_every_panel_explains_itself(panel: Any) -> None:
    """It has a unit and a text, a name for each of several series, and all queries heed the choice of sidecars."""
    assert panel.unit
    assert panel.text.endswith(".")
    assert len(panel.queries) == 1 or all(query.name for query in panel.queries)
    assert all("$on" in query.expression for query in panel.queries)


def test_the_variables_are_defined() -> None:
    """Whatever a query takes from the top of the page is there."""
    defined = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert defined == {"datasource", "job", "instance", "price_in", "price_out"}
    assert all(f"${name}" in FILE.read_text() or f"${{{name}}}" in FILE.read_text() for name in defined)


def test_every_metric_is_one(metric_names: set[str]) -> None:
    """The dashboard names nothing that no process shows."""
    queries = [query.expression for row in ROWS for panel in row.panels for query in panel.queries]
    assert named(queries) - metric_names == set()
