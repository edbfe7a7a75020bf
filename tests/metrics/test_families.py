"""The counters, as Prometheus reads them: every assertion is on the parsed exposition."""

from __future__ import annotations

import subprocess
import time
from functools import partial

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar import __version__
from sidecar.metrics import Metrics
from sidecar.metrics.collector import MetricsCollector
from sidecar.metrics.counters import MAX_COMMAND_SERIES
from sidecar.metrics.families import COMPILED, FAMILIES
from tests.support.requirements import require_program

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
    metrics.messages_appended, metrics.tokens_appended, metrics.duplicates = 7, 8, 19
    metrics.read("budget", 2, 9)
    metrics.left_out(18, 24)
    metrics.clients_refused, metrics.protocol_errors = 25, 26
    metrics.client_pauses, metrics.redis_pauses = 27, 28
    metrics.forward_seconds.observe(0.002)
    metrics.redis_up = True
    metrics.redis_seconds.observe(0.003)
    for line in ("NOPERM no", "ODD one", "NOPERM again"):
        metrics.redis_refused(line)
    metrics.worker_polling = False
    for outcome in ("done", "refused", "done"):
        metrics.reloaded(outcome)
    metrics.tick(0.004)
    for number, name in enumerate(("held_bytes", "redis_connections", "lock_waiters", "definitions"), 29):
        metrics.watch(name, partial(float, number))
    metrics.look()
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
    metrics.model_called("brief", 1_000, 40)
    metrics.model_called("brief", 500, 2)
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
    ("reads_total", {"kind": "budget"}, 1),
    ("reads_total", {"kind": "whole"}, 0),
    ("messages_read_total", {"kind": "budget"}, 2),
    ("tokens_read_total", {"kind": "budget"}, 9),
    ("flush_engine_up", {"engine": "local"}, 1),
    ("clients_refused_total", {}, 25),
    ("protocol_errors_total", {}, 26),
    ("pauses_total", {"side": "client"}, 27),
    ("pauses_total", {"side": "redis"}, 28),
    ("forward_duration_seconds_count", {}, 1),
    ("forward_duration_seconds_sum", {}, 0.002),
    ("redis_up", {}, 1),
    ("redis_round_trip_seconds_count", {}, 1),
    ("redis_errors_total", {"error": "NOPERM"}, 2),
    ("redis_errors_total", {"error": "other"}, 1),
    ("worker_polling", {}, 0),
    ("reloads_total", {"outcome": "done"}, 2),
    ("reloads_total", {"outcome": "refused"}, 1),
    ("event_loop_lag_seconds_bucket", {"le": "0.005"}, 1),
    ("held_bytes", {}, 29),
    ("redis_connections", {}, 30),
    ("lock_waiters", {}, 31),
    ("definitions", {}, 32),
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
    ("flush_runs_total", {"strategy": "fifo", "outcome": "done"}, 1),
    ("flush_runs_total", {"strategy": "hybrid_summary", "outcome": "failed"}, 1),
    ("flush_duration_seconds_count", {"strategy": "hybrid_summary"}, 2),
    ("flush_duration_seconds_sum", {"strategy": "hybrid_summary"}, 400.2),
    ("flush_duration_seconds_bucket", {"strategy": "hybrid_summary", "le": "300.0"}, 1),
    ("flush_messages_freed_total", {}, 30),
    ("flush_tokens_freed_total", {}, 300),
    ("flush_summaries_tokens_total", {}, 50),
    ("summaries_failed_total", {"reason": "truncated"}, 2),
    ("flush_fallbacks_total", {"fallback": "drop"}, 1),
    ("model_calls_total", {"summariser": "brief"}, 2),
    ("model_tokens_total", {"summariser": "brief", "direction": "in"}, 1_500),
    ("model_tokens_total", {"summariser": "brief", "direction": "out"}, 42),
    ("outbox_depth", {}, 11),
    ("outbox_oldest_age_seconds", {}, 12.5),
    ("messages_left_out_total", {"reason": "orphan"}, 18),
    ("messages_left_out_total", {"reason": "budget"}, 24),
    ("appends_repeated_total", {}, 19),
    ("locks_lost_total", {}, 21),
    ("locks_acquired_total", {}, 21),
    ("locks_refused_total", {}, 22),
    ("lock_wait_seconds_count", {}, 2),
    ("lock_wait_seconds_sum", {}, 3.02),
    ("lock_wait_seconds_bucket", {"le": "0.05"}, 1),
    ("redactions_total", {"kind": "email"}, 24),
    ("build_info", {"version": __version__, "compiled": "yes" if COMPILED else "no"}, 1),
]


@pytest.mark.parametrize(("name", "labels", "expected"), VALUES)
def test_values(name: str, labels: dict[str, str], expected: float) -> None:
    """What was counted is what is read, under its name and labels."""
    assert value(samples(used()), name, **labels) == pytest.approx(expected)


def test_the_time_of_a_sweep() -> None:
    """When the outbox could last be read is a Unix time, and 0 before."""
    assert value(samples(Metrics()), "outbox_swept_timestamp_seconds") == 0
    before = time.time()
    assert before <= value(samples(used()), "outbox_swept_timestamp_seconds") <= time.time()


def test_every_family_is_looked_at() -> None:
    """The table above has a value of every family, and each family has a text and our prefix."""
    families = list(parse_text(scrape(used())))
    assert all(family.name.startswith("memsidecar_") and family.documentation for family in families)
    looked_at = {f"memsidecar_{name}" for name, *_ in VALUES} | {"memsidecar_outbox_swept_timestamp_seconds"}
    assert [family.name for family in families if not any(name.startswith(family.name) for name in looked_at)] == []
    assert [family.name for family in families] == [family.full_name for family in FAMILIES]
    assert len({family.name for family in families}) == len(families)


def test_labels_are_those_that_are_documented() -> None:
    """Every sample has the labels of its family, in order, and nothing that a client makes up."""
    documented = {family.full_name: set(family.labels) for family in FAMILIES}
    for family in parse_text(scrape(used())):
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == documented[family.name], sample


def test_promtool() -> None:
    """Prometheus's own linter has nothing to say about names, units and texts."""
    checked = subprocess.run(
        [require_program("promtool"), "check", "metrics"], input=scrape(used()).encode(), capture_output=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_odd_outcomes_are_bounded() -> None:
    """The first words of errors of Redis's modules cannot make series without end."""
    metrics = Metrics()
    for number in range(3 * MAX_COMMAND_SERIES):
        metrics.command("MEMREAD", f"ODD{number}", 0.001)
    metrics.command("MEMREAD", "ODD0", 0.001)
    found = samples(metrics)
    assert len([name for name, _ in found if name == "memsidecar_commands_total"]) == MAX_COMMAND_SERIES + 1
    assert value(found, "commands_total", command="MEMREAD", outcome="other") == 2 * MAX_COMMAND_SERIES
    assert value(found, "commands_total", command="MEMREAD", outcome="ODD0") == 2


def test_before_anything_has_happened() -> None:
    """The first scrape has every counter with known labels at zero, and does not say that anything is down."""
    found = samples(Metrics())
    assert value(found, "clients") == value(found, "messages_appended_total") == 0
    assert value(found, "flush_triggers_total", outcome="failed") == 0
    assert {name for name, _ in found} & {"memsidecar_flush_engine_up", "memsidecar_redis_up"} == set()


def test_the_engine_is_down() -> None:
    """Once it has been asked, the flush engine is up or down."""
    metrics = Metrics()
    metrics.engine, metrics.engine_up = "temporal", False
    assert value(samples(metrics), "flush_engine_up", engine="temporal") == 0


def test_the_outbox_can_be_read_here() -> None:
    """MEMHEALTH shows what the last sweep saw."""
    metrics = used()
    assert (metrics.outbox_depth, metrics.outbox_age_seconds) == (11, 12.5)
