"""Packing and dealing requests."""

from __future__ import annotations

from benchmarks.load import Sample, deal, pack


def test_requests_are_arrays_of_bulk_strings() -> None:
    """Text, bytes and numbers become one RESP array."""
    assert pack("SET", b"k", 12) == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n12\r\n"


def test_requests_are_dealt_in_turn() -> None:
    """Each request goes to exactly one connection, neighbours to different ones."""
    requests = [b"%d" % number for number in range(7)]
    assert deal(requests, connections=3) == [[b"0", b"3", b"6"], [b"1", b"4"], [b"2", b"5"]]


def test_the_rate_is_per_second_of_the_window() -> None:
    """A rate follows from what was counted and how long."""
    assert Sample(requests=300, seconds=1.5, p50_ms=None, p99_ms=None).rate == 200.0
