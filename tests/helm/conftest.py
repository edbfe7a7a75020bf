"""Helm, and the charts."""

from __future__ import annotations

import pytest

from tests.helm.rendering import Helm
from tests.support.requirements import require_program

RULES = """\
groups:
  - name: braces
    rules:
      - alert: Braces
        expr: up == 0
        annotations:
          summary: "{{ $labels.instance }} has been down for {{ $value | humanizeDuration }}."
"""
DASHBOARD = '{"title": "Braces", "panels": [{"targets": [{"legendFormat": "{{instance}}"}]}]}'


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The real Helm, on copies of the charts, which have a rule and a dashboard more, full of braces."""
    helm = Helm(require_program("helm"), tmp_path_factory.mktemp("helm"))
    for name, text in {"rules/braces.yaml": RULES, "dashboards/braces.json": DASHBOARD}.items():
        file = helm.chart("memsidecar") / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return helm
