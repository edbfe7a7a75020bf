"""What the user reads once everything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.dev.banner import lines_to_paste, rows, without_secrets
from sidecar.dev.plan import DevPlan, RedisPlan, TemporalPlan

STARTED = DevPlan(
    port=6380,
    metrics_port=9464,
    redis=RedisPlan(program=Path("/bin/redis-server"), port=7001),
    redis_url="redis://127.0.0.1:7001/0",
    temporal=TemporalPlan(program=Path("/bin/temporal"), port=7233, ui_port=8233),
    temporal_address="127.0.0.1:7233",
    config=None,
    keeps_data=False,
)
YOURS = DevPlan(
    port=6380,
    metrics_port=9464,
    redis=None,
    redis_url="redis://me:secret@redis.example:6379/2?password=secret",
    temporal=None,
    temporal_address=None,
    config=Path("/etc/memories.yaml"),
    keeps_data=False,
)


def test_what_is_started() -> None:
    """Every address is shown, and that nothing is kept."""
    assert rows(STARTED, directory=Path("/tmp/x"), worker_ready=True) == [
        ("Sidecar", "127.0.0.1:6380  (any Redis client)"),
        ("Redis", "redis://127.0.0.1:7001/0  (started: /bin/redis-server)"),
        ("Temporal", "127.0.0.1:7233  (started: /bin/temporal)"),
        ("Web UI", "http://127.0.0.1:8233"),
        ("Flushes", "by Temporal, on the worker"),
        ("Metrics", "http://127.0.0.1:9464/metrics"),
        ("Data", "in memory only, gone at the end; --data DIR keeps it"),
    ]


def test_what_is_yours() -> None:
    """Servers of the user are shown without password, and nothing is said about their data."""
    assert rows(YOURS, directory=Path("/tmp/x"), worker_ready=False) == [
        ("Sidecar", "127.0.0.1:6380  (any Redis client)"),
        ("Redis", "redis://redis.example:6379/2  (yours)"),
        ("Flushes", "by the sidecar itself (local engine)"),
        ("Metrics", "http://127.0.0.1:9464/metrics"),
        ("Memories", "/etc/memories.yaml"),
    ]


def test_a_worker_that_has_not_reached_temporal() -> None:
    """A worker that is not ready is not passed off as one."""
    shown = dict(rows(STARTED, directory=Path("/tmp/x"), worker_ready=False))
    assert shown["Flushes"] == "by Temporal; the worker has not reached it yet and keeps trying"


def test_lines_to_paste_use_the_port() -> None:
    """Every line to paste calls redis-cli on the sidecar's port."""
    lines = lines_to_paste(STARTED, redis_cli="/x/redis-cli")
    assert lines
    assert all(line.startswith("/x/redis-cli -p 6380 ") for line in lines)
    assert any("MEMAPPEND chat:42 user" in line for line in lines)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("rediss://:p%40w@h:1", "rediss://h:1"),
        ("redis://u:p@h:1/3?password=x#y", "redis://h:1/3"),
        ("redis://u:p?ss@h:1/3", "redis://…"),
        ("redis://a:1,b:2/0", "redis://a:1,b:2/0"),
        ("unix:///run/redis.sock?password=x", "unix:///run/redis.sock"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    """Neither the user part nor the query of an address reaches the terminal."""
    assert without_secrets(url) == shown
