"""The events of the log: one way to name them, and each of them in the documentation."""

from __future__ import annotations

import re

from tests.log_docs import MEANINGS, OF_OTHERS, SPOKEN, computed_events, events, events_table

COMPUTED = [
    "app/serving.py: run",  # `sidecar` or `worker`, ready and stopping
    "app/serving.py: run",
    "flush/sweeper.py: _complain",
    "temporal/worker.py: _serve",  # READY, for which others wait
]
"""Where the event is no constant, so that the table is told of it by hand."""


def test_each_event_has_a_name() -> None:
    """`area.what`, in small letters: a search or an alert on it finds all its lines, and no others."""
    odd = [name for name in events() if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)]
    assert odd == list(SPOKEN)


def test_the_table_is_complete() -> None:
    """Every event is explained, and nothing else is."""
    assert sorted(events()) == sorted(MEANINGS)
    assert computed_events() == COMPUTED


def test_the_sources_are_read() -> None:
    """Level and fields are those of the calls: of several, of one with a traceback, of one through a wrapper."""
    found = events()
    assert (found["worker.died"].levels, list(found["worker.died"].fields)) == (
        {"error"},
        ["worker", "how", "again_in_s"],
    )
    assert found["flush.broke_off"].levels == {"warning", "error"}
    assert list(found["flush.broke_off"].fields) == ["error", "memory", "trace", "exception"]
    assert found["gate.closed"].levels == {"warning", "error"}
    assert list(found["outbox.odd_name"].fields) == ["shard"]
    assert set(OF_OTHERS) <= set(found)
    assert "| `gate.open` | info | `address` | Clients are let in. |\n" in events_table()
