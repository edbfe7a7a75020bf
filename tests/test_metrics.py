"""The counters, as Prometheus reads them: every assertion is on the parsed exposition."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar import __version__
from sidecar.metrics import (
    FLUSH_BUCKETS_SECONDS,
    LATENCY_BUCKETS_SECONDS,
    LOCK_BUCKETS_SECONDS,
    Histogram,
    Metrics,
    MetricsCollector,
)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(metrics: Metrics) -> str:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics))
    return generate_latest(registry).decode()


def samples(metrics: Metrics) -> Samples:
    """Every sample by its name and labels."""
    families = parse_text(scrape(metrics))
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"memsidecar_{name}", tuple(sorted(labels.items()))]


def used() -> Metrics:
    """Counters with a different number in each place."""
    metrics = Metrics()
    metrics.clients, metrics.clients_accepted = 2, 3
    metrics.clients_over_output_limit = 1
    metrics.clients_over_held_limit = 17
    metrics.client_bytes_in, metrics.client_bytes_out = 4, 5
    metrics.redis_reconnects = 6
    metrics.messages_appended, metrics.tokens_appended, metrics.tokens_read = 7, 8, 9
    metrics.left_out, metrics.duplicates = 18, 19
    metrics.locks_lost = 20
    for _ in range(21):
        metrics.lock_acquired()
    for _ in range(22):
        metrics.lock_refused()
    metrics.lock_lost()
    metrics.lock_waited(0.02)
    metrics.lock_waited(3)
    metrics.redacted("email", 23)
    metrics.redacted("email", 1)
    metrics.engine_up = True
    for seconds in (0.0002, 0.3):
        metrics.command("MEMREAD", "ok", seconds)
    metrics.command("MEMREAD", "BADKEY", 0.001)
    metrics.command("MEMINFO", "ok", 99.0)
    for outcome in ("started", "started", "dropped"):
        metrics.trigger(outcome)
    metrics.run("fifo", "done", 10, 100, 0, 0.02)
    metrics.run("hybrid_summary", "done", 20, 200, 50, 0.2)
    metrics.run("hybrid_summary", "failed", 0, 0, 0, 400.0)
    metrics.summary_failed("truncated")
    metrics.summary_failed("truncated")
    metrics.fell_back("drop")
    metrics.model_tokens(1_000, 40)
    metrics.model_tokens(500, 2)
    metrics.outbox(11, 12.5)
    return metrics


VALUES: list[tuple[str, dict[str, str], float]] = [
    ("clients", {}, 2),
    ("clients_accepted_total", {}, 3),
    ("clients_over_output_limit_total", {}, 1),
    ("clients_over_held_limit_total", {}, 17),
    ("client_bytes_total", {"direction": "in"}, 4),
    ("client_bytes_total", {"direction": "out"}, 5),
    ("redis_reconnects_total", {}, 6),
    ("messages_appended_total", {}, 7),
    ("tokens_appended_total", {}, 8),
    ("tokens_read_total", {}, 9),
    ("flush_engine_up", {}, 1),
    ("commands_total", {"command": "MEMREAD", "outcome": "ok"}, 2),
    ("commands_total", {"command": "MEMREAD", "outcome": "BADKEY"}, 1),
    ("commands_total", {"command": "MEMINFO", "outcome": "ok"}, 1),
    ("command_duration_seconds_bucket", {"command": "MEMREAD", "le": "0.0001"}, 0),
    ("command_duration_seconds_bucket", {"command": "MEMREAD", "le": "0.00025"}, 1),
    ("command_duration_seconds_bucket", {"command": "MEMREAD", "le": "0.001"}, 2),
    ("command_duration_seconds_bucket", {"command": "MEMREAD", "le": "0.25"}, 2),
    ("command_duration_seconds_bucket", {"command": "MEMREAD", "le": "0.5"}, 3),
    ("command_duration_seconds_bucket", {"command": "MEMINFO", "le": "10.0"}, 0),
    ("command_duration_seconds_bucket", {"command": "MEMINFO", "le": "+Inf"}, 1),
    ("command_duration_seconds_count", {"command": "MEMREAD"}, 3),
    ("command_duration_seconds_sum", {"command": "MEMREAD"}, 0.3012),
    ("flush_triggers_total", {"outcome": "started"}, 2),
    ("flush_triggers_total", {"outcome": "dropped"}, 1),
    ("flush_runs_total", {"strategy": "fifo", "status": "done"}, 1),
    ("flush_runs_total", {"strategy": "hybrid_summary", "status": "failed"}, 1),
    ("flush_duration_seconds_count", {}, 3),
    ("flush_duration_seconds_sum", {}, 400.22),
    ("flush_duration_seconds_bucket", {"le": "300.0"}, 2),
    ("flush_messages_freed_total", {}, 30),
    ("flush_tokens_freed_total", {}, 300),
    ("flush_summary_tokens_total", {}, 50),
    ("summary_failures_total", {"reason": "truncated"}, 2),
    ("flush_fallbacks_total", {"fallback": "drop"}, 1),
    ("summary_model_tokens_total", {"direction": "in"}, 1_500),
    ("summary_model_tokens_total", {"direction": "out"}, 42),
    ("outbox_depth", {}, 11),
    ("outbox_oldest_age_seconds", {}, 12.5),
    ("messages_left_out_total", {}, 18),
    ("appends_repeated_total", {}, 19),
    ("locks_lost_total", {}, 21),
    ("locks_acquired_total", {}, 21),
    ("locks_refused_total", {}, 22),
    ("lock_wait_seconds_count", {}, 2),
    ("lock_wait_seconds_sum", {}, 3.02),
    ("lock_wait_seconds_bucket", {"le": "0.05"}, 1),
    ("redactions_total", {"kind": "email"}, 24),
    ("build_info", {"version": __version__}, 1),
]


@pytest.mark.parametrize(("name", "labels", "expected"), VALUES)
def test_values(name: str, labels: dict[str, str], expected: float) -> None:
    """What was counted is what is read, under its name and labels."""
    assert value(samples(used()), name, **labels) == pytest.approx(expected)


def test_every_family_is_looked_at() -> None:
    """The table above has a value of every family, and each family has a text and our prefix."""
    families = list(parse_text(scrape(used())))
    assert all(family.name.startswith("memsidecar_") and family.documentation for family in families)
    looked_at = tuple(f"memsidecar_{name}" for name, *_ in VALUES)
    assert [family.name for family in families if not any(name.startswith(family.name) for name in looked_at)] == []
    assert len({family.name for family in families}) == len(families)


def test_the_labels_are_bounded() -> None:
    """Labels are commands, outcomes, strategies, kinds of redactions and the like; nothing that a client makes up."""
    labels = {name for _, pairs in samples(used()) for name, _ in pairs}
    assert labels == {"command", "outcome", "direction", "strategy", "status", "le", "version", "kind"} | {
        "reason",
        "fallback",
    }


def test_before_anything_has_happened() -> None:
    """The first scrape has every plain counter at zero, and does not say that the flush engine is down."""
    found = samples(Metrics())
    assert value(found, "clients") == value(found, "messages_appended_total") == 0
    assert value(found, "flush_duration_seconds_count") == 0
    assert ("memsidecar_flush_engine_up", ()) not in found


def test_the_engine_is_down() -> None:
    """Once it has been asked, the flush engine is up or down."""
    metrics = Metrics()
    metrics.engine_up = False
    assert value(samples(metrics), "flush_engine_up") == 0


def test_the_outbox_can_be_read_here() -> None:
    """MEMHEALTH shows what the last sweep saw."""
    metrics = used()
    assert (metrics.outbox_depth, metrics.outbox_age_seconds) == (11, 12.5)


@pytest.mark.parametrize("bounds", [LATENCY_BUCKETS_SECONDS, FLUSH_BUCKETS_SECONDS, LOCK_BUCKETS_SECONDS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    """Buckets are in order, and no two are the same."""
    assert all(one < two for one, two in pairwise(bounds))


@given(st.lists(st.floats(0, 10) | st.sampled_from([0.5, 1.0, 2.0])))
def test_buckets_are_cumulative(observations: list[float]) -> None:
    """Each bucket has the observations up to its bound, the bound included; the last one has all."""
    histogram = Histogram((0.5, 1.0, 2.0))
    for seconds in observations:
        histogram.observe(seconds)
    assert histogram.cumulative() == [
        (bound, sum(seconds <= float(bound) for seconds in observations)) for bound in ("0.5", "1.0", "2.0", "+Inf")
    ]
    assert histogram.total == pytest.approx(sum(observations))
