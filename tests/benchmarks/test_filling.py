"""Memories that were filled without memsidecar."""

from __future__ import annotations

import pytest

from benchmarks.client import LoadFailed
from benchmarks.filling import AHEAD, TURNS, fill, send
from benchmarks.load import pack
from benchmarks.stage import DEFINITION, Stage
from sidecar.dev.servers import RedisServer


def test_they_are_what_memappend_would_have_made() -> None:
    """memsidecar finds every message, with the tokens that it counts itself."""
    with Stage() as stage:
        fill(stage, "filled", 2 * TURNS)
        assert stage.log_length("filled") == 2 * TURNS
        found = stage.ask("MEMREAD", f"{DEFINITION}:filled", "COUNT", "3")
        _, turns = found[2], found[3]
        stage.ask("MEMAPPEND", f"{DEFINITION}:appended", *(word for turn in turns for word in turn[3:6:2]))
        again = stage.ask("MEMREAD", f"{DEFINITION}:appended")
    assert [turn[3:] for turn in again[3]] == [turn[3:] for turn in turns]


def test_all_requests_are_sent(redis_url: str, redis_server: RedisServer) -> None:
    """More than go ahead of the replies, and a refusal is told."""
    send(redis_server.port, [pack("SET", "filled", number) for number in range(3 * AHEAD)])
    with pytest.raises(LoadFailed, match="could not be filled: WRONGTYPE"):
        send(redis_server.port, [pack("RPUSH", "filled", "x")])
