"""The metrics of several processes as those of one sidecar. Pure: families go in, families come out.

A process reports its families as plain values (`to_plain`), the supervisor reads them (`from_plain`) and merges them
as the table `metrics.families.MERGED_GAUGES` says. Which reports there are, and what becomes of those of the dead, is
for `supervising` to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sidecar.metrics.families import MERGED_GAUGES

SUMMED = ("counter", "histogram")
"""Kinds that only ever rise, so that what a dead process had counted stays in the sum."""

Sample = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what Prometheus is told of it, and its samples in their order."""

    name: str
    kind: str
    text: str
    samples: Mapping[Sample, float]


Families = Sequence[Family]


def families_of(registry: CollectorRegistry) -> Families:
    """Return what a registry shows now."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            {(sample.name, tuple(sample.labels.items())): sample.value for sample in metric.samples},
        )
        for metric in registry.collect()
    ]


def to_plain(families: Families) -> list[Any]:
    """Return families as JSON can tell them."""
    return [
        [family.name, family.kind, family.text, [[*sample, value] for sample, value in family.samples.items()]]
        for family in families
    ]


def from_plain(plain: Iterable[Any]) -> Families:
    """Return what `to_plain` was given."""
    return [
        Family(
            name,
            kind,
            text,
            {(each, tuple((key, word) for key, word in labels)): value for each, labels, value in rows},
        )
        for name, kind, text, rows in plain
    ]


def merge(parts: Iterable[Families]) -> Families:
    """Return the families of all processes together, in the order in which they first come."""
    merged: dict[str, Family] = {}
    for family in (family for part in parts for family in part):
        known = merged.get(family.name)
        merged[family.name] = family if known is None else _together(known, family)
    return list(merged.values())


def lasting(families: Families) -> Families:
    """Return what stays true of a process when it has ended: what it counted, not what it held."""
    return [family for family in families if family.kind in SUMMED]


class MergedCollector(Collector):
    """Shows families to an encoder."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for (name, labels), value in family.samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


def _together(one: Family, other: Family) -> Family:
    # A gauge that a library brings and the table does not know is shown once: that is wrong for some, and harmless.
    join = add if one.kind in SUMMED else MERGED_GAUGES.get(one.name, max)
    samples = dict(one.samples)
    for sample, value in other.samples.items():
        samples[sample] = join(samples[sample], value) if sample in samples else value
    return Family(one.name, one.kind, one.text, samples)
