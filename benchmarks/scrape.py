"""Reads /metrics, as Prometheus does: of memsidecar, and of Temporal's dev server."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

LIMIT_S = 10.0
"""An answer takes milliseconds; a busy event loop may need longer."""


class Scrape:
    """The samples of one look at `url`."""

    def __init__(self, url: str) -> None:
        with urlopen(url, timeout=LIMIT_S) as answer:
            text = answer.read().decode()
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples called `name` that have `labels`; 0 if there is none."""
        wanted = labels.items()
        return sum(sample.value for sample in self._samples if sample.name == name and wanted <= sample.labels.items())

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """Return the samples called `name`, summed up for each value of `label`."""
        found: dict[str, float] = {}
        for sample in self._samples:
            if sample.name == name and label in sample.labels:
                found[sample.labels[label]] = found.get(sample.labels[label], 0.0) + sample.value
        return found
