"""Turns the counters into what prometheus-client writes, once per scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sidecar.metrics.counters import Metrics
from sidecar.metrics.families import FAMILIES, Family
from sidecar.metrics.histogram import Histogram


class MetricsCollector(Collector):
    """Shows `Metrics`. Collecting may happen on another thread than counting; see `Metrics.look` for what may not."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for family in FAMILIES:
            yield _shown(family, self._metrics)


def _shown(family: Family, now: Metrics) -> Metric:
    name = family.full_name
    metric = Metric(name, family.text, family.kind)
    assert family.read is not None, "families of one process are read from it"
    for values, value in family.read(now):
        labels = dict(zip(family.labels, values, strict=True))
        if isinstance(value, Histogram):
            count = 0.0
            for bound, count in value.cumulative():  # the last one counts all
                metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{name}_count", labels, count)
            metric.add_sample(f"{name}_sum", labels, value.total)
        else:
            metric.add_sample(f"{name}_total" if family.kind == "counter" else name, labels, value)
    return metric
