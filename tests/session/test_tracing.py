"""Commands with TRACEPARENT: their spans, and what of them goes on to a flush."""

from __future__ import annotations

import pytest

from sidecar.errors import Locked, Unavailable
from sidecar.memory.requests import AppendRequest, FlushRequest
from tests.commands.test_traceparent import VALUE
from tests.support.transcripts import CHILD, Client


def test_a_span(ready: Client) -> None:
    """It begins with the command, below the client's, and ends with its reply, with the definition and nothing else."""
    ready.sends(f"MEMINFO notes:john TRACEPARENT {VALUE}", "MEMINFO b")
    assert ready.tracer.begun == [("MEMINFO", VALUE)]
    ready.done(1, Unavailable("x"))
    assert ready.tracer.ended == []
    ready.done(0, Locked(1, 1))
    assert ready.tracer.ended == [("MEMINFO", "LOCKED", {"definition": "default"})]


def test_a_span_of_a_failure(ready: Client) -> None:
    """It has the id that the log has."""
    ready.sends(f"MEMCLEAR a TRACEPARENT {VALUE}", f"MEMCLEAR b TRACEPARENT {VALUE}")
    ready.done(0, Unavailable("x"))
    ready.done(1, 1)
    assert ready.tracer.ended == [
        ("MEMCLEAR", "UNAVAILABLE", {"definition": "default", "request": "id1"}),
        ("MEMCLEAR", None, {"definition": "default"}),
    ]


def test_what_cannot_be_parsed(ready: Client) -> None:
    """A command that is refused has its span; a value that is none is refused, and the command is not run."""
    (refused,) = ready.sends(f"MEMREAD a TRACEPARENT {VALUE} NONSENSE")
    assert b"NONSENSE" in refused[:60] if isinstance(refused, bytes) else False
    assert ready.tracer.ended == [("MEMREAD", "ERR", {})]
    (refused,) = ready.sends("MEMREAD a TRACEPARENT nonsense")
    assert b"-ERR TRACEPARENT takes the header" in refused if isinstance(refused, bytes) else False
    assert len(ready.tracer.begun) == 1
    assert ready.tickets == []


@pytest.mark.parametrize("line", ["MEMAPPEND a {} user hi", "MEMWRITE a {} user hi", "MEMFLUSH a {} FORCE"])
def test_what_may_lead_to_a_flush(ready: Client, line: str) -> None:
    """It carries the context of the command's own span, so that the steps of the flush come below that."""
    ready.sends(line.format(f"TRACEPARENT {VALUE}"), line.format("").replace(" a ", " b "))
    traces = [
        ticket.request.trace for ticket in ready.tickets if isinstance(ticket.request, AppendRequest | FlushRequest)
    ]
    assert traces == [CHILD, ""]


def test_two_keys(ready: Client) -> None:
    """Of a command with two, it stands behind the second."""
    ready.sends(f"MEMFORK a b TRACEPARENT {VALUE} AT 1-0")
    assert ready.tracer.begun == [("MEMFORK", VALUE)]
    assert len(ready.tickets) == 1
