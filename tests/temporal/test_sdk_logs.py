"""What is shown of the records of Temporal's SDK: no id of a flush, and no object that it works with."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio import activity, workflow

from sidecar.flush.names import workflow_id
from sidecar.memory.keys import KeySpace
from sidecar.temporal.sdk_logs import quiet_logging

SECRET = "swordfish"

ID = workflow_id(KeySpace().keys("chat", f'{SECRET} "it\'s" {{me}}').name)


def told(text: str, level: int = logging.WARNING, **fields: str) -> dict[str, Any]:
    """Return the line that becomes of a record as Core's are forwarded."""
    config = quiet_logging().forwarding
    assert config is not None
    core = SimpleNamespace(target="temporalio_client::retry", message=text, fields=fields, level=level, time=0.0)
    with capture_logs() as logs:
        config._on_logs([core])  # one of Rust, which only Rust makes
    (line,) = logs
    assert SECRET not in str(line)
    return dict(line)


def test_a_line() -> None:
    """It has Core's words, the part that says them, and the code of an error."""
    line = told("gRPC call poll retried 5 times", error='Status { code: Unavailable, message: "tcp connect error" }')
    assert line == {
        "event": "temporal.core",
        "log_level": "warning",
        "target": "temporalio_client::retry",
        "text": "gRPC call poll retried 5 times",
        "error": "Unavailable",
    }
    assert told("it is lost", logging.ERROR)["log_level"] == "error"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Workflow {ID} is lost", "Workflow memflush:… is lost"),
        (f"Failed to complete Completion {{ input: {SECRET} }}", "Failed to complete Completion"),
        (f'Answered "{SECRET}"', "Answered"),
        (f"Got [{SECRET}]", "Got"),
    ],
)
def test_what_names_a_memory_or_shows_an_object(text: str, shown: str) -> None:
    """Ids are taken out, and a text ends where an object begins."""
    assert told(text)["text"] == shown


def test_fields_are_left_out() -> None:
    """Of the fields only the code of an error is shown."""
    line = told("it failed", workflow_id=ID, error=f"odd: {SECRET}", input=SECRET)
    assert set(line) == {"event", "log_level", "target", "text"}


def test_the_part_in_python_puts_no_ids_into_texts() -> None:
    """By default it writes all details of a run behind each text."""
    quiet_logging()
    assert not activity.logger.activity_info_on_message
    assert not workflow.logger.workflow_info_on_message
