"""Metrics of several processes become those of one sidecar, each in the way that suits what it tells."""

from __future__ import annotations

import json

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.app.merging import (
    SUMMED,
    Families,
    MergedCollector,
    families_of,
    from_plain,
    lasting,
    merge,
    to_plain,
)
from sidecar.metrics import Metrics
from sidecar.metrics.collector import MetricsCollector
from sidecar.metrics.families import MERGED_GAUGES
from sidecar.net.http import registry_of


def used(times: int) -> Metrics:
    """Return metrics of which every one has counted something."""
    metrics = Metrics()
    metrics.clients = metrics.clients_accepted = metrics.messages_appended = times
    metrics.engine_up = times > 1
    metrics.redacted("email", times)
    metrics.lock_waited(0.01 * times)
    metrics.trigger("started")
    metrics.run("fifo", "done", times, 10 * times, 5, 0.1)
    metrics.summary_failed("refused")
    metrics.fell_back("keep")
    metrics.model_called("brief", times, times)
    metrics.redis_up = metrics.worker_polling = True
    metrics.outbox(times, 3.0 * times)
    for _ in range(times):
        metrics.command("MEMREAD", "ok", 0.001)
    return metrics


def reported(metrics: Metrics) -> Families:
    """Return what the supervisor is told of them."""
    return from_plain(json.loads(json.dumps(to_plain(families_of(registry_of(MetricsCollector(metrics)))))))


def values(families: Families) -> dict[str, float]:
    """Return the samples of gauges by name, which has one at most, and of all others without labels."""
    return {
        name: value
        for each in families
        for (name, labels), value in each.samples.items()
        if not labels or each.kind == "gauge"
    }


def test_the_table_names_every_gauge() -> None:
    """What becomes of each gauge is decided in the table, which names no other; everything else only ever rises."""
    families = reported(used(2))
    assert {family.name for family in families if family.kind not in SUMMED} == MERGED_GAUGES.keys()
    assert {family.kind for family in families} == {"gauge", *SUMMED}


def test_what_is_told_survives_the_way() -> None:
    """A single process's metrics, reported and merged with nothing, are what the process itself would show."""
    registry = registry_of(MetricsCollector(used(3)))
    families = families_of(registry)
    assert merge([from_plain(json.loads(json.dumps(to_plain(families))))]) == families


def test_counters_and_histograms_are_added_up() -> None:
    """Label by label and bucket by bucket; what only one has stays."""
    one, other = used(2), used(3)
    other.command("MEMREAD", "LOCKED", 0.2)
    other.command("MEMAPPEND", "ok", 20.0)
    text = generate_latest(MergedCollector(merge([reported(one), reported(other)]))).decode()
    lines = set(text.splitlines())
    assert {
        "memsidecar_messages_appended_total 5.0",
        'memsidecar_commands_total{command="MEMREAD",outcome="ok"} 5.0',
        'memsidecar_commands_total{command="MEMREAD",outcome="LOCKED"} 1.0',
        'memsidecar_command_duration_seconds_bucket{command="MEMREAD",le="0.001"} 5.0',
        'memsidecar_command_duration_seconds_bucket{command="MEMREAD",le="+Inf"} 6.0',
        'memsidecar_command_duration_seconds_count{command="MEMREAD"} 6.0',
        'memsidecar_command_duration_seconds_bucket{command="MEMAPPEND",le="10.0"} 0.0',
        'memsidecar_command_duration_seconds_count{command="MEMAPPEND"} 1.0',
        "memsidecar_lock_wait_seconds_count 2.0",
    } <= lines


@pytest.mark.parametrize(
    ("name", "one", "other", "together"),
    [
        ("memsidecar_clients", 2, 3, 5),
        ("memsidecar_outbox_depth", 2, 3, 3),
        ("memsidecar_outbox_oldest_age_seconds", 6, 9, 9),
        ("memsidecar_flush_engine_up", 1, 1, 1),
    ],
)
def test_gauges(name: str, one: float, other: float, together: float) -> None:
    """What is held is added up; what all of them see of the same thing is shown once."""
    parts = [reported(used(2)), reported(used(3))]
    assert [values(part)[name] for part in parts] == [one, other]
    assert values(merge(parts))[name] == together


def test_gauges_of_processes() -> None:
    """Memory and descriptors are those of all, the start is the first one's, and a limit of each is no sum."""
    parts = [reported(used(1)), reported(used(2))]
    merged = values(merge(parts))
    for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds"):
        assert merged[name] == sum(values(part)[name] for part in parts)
    for name in ("process_max_fds", "process_start_time_seconds"):
        assert merged[name] == min(values(part)[name] for part in parts)
    assert merged["memsidecar_flush_engine_up"] == 0, "one that does not reach it is to be seen"


def test_what_lasts() -> None:
    """What a process counted outlives it, and what it held does not."""
    left = lasting(reported(used(2)))
    assert {family.kind for family in left} == set(SUMMED)
    merged = values(merge([left, reported(used(3))]))
    assert merged["memsidecar_messages_appended_total"] == 5
    assert merged["memsidecar_clients"] == 3


def test_both_formats() -> None:
    """Merged metrics can be written as either format, and read again."""
    merged = MergedCollector(merge([reported(used(2)), reported(used(3))]))
    assert {family.name for family in parse_text(generate_latest(merged).decode())} >= MERGED_GAUGES.keys()
    assert generate_openmetrics(merged).endswith(b"# EOF\n")  # type: ignore[no-untyped-call]
