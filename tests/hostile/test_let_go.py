"""Clients that the sidecar must not keep: those that read nothing of too much, and those that have half gone."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing

import pytest

from sidecar.dev.servers import SidecarProcess
from tests.hostile.attacks import MEMORIES, MEMORY_BYTES, OUTPUT_VARIABLE, memory
from tests.hostile.crowd import Crowd
from tests.hostile.differential import Control
from tests.hostile.gauges import MEGABYTE, Gauges
from tests.hostile.streams import resp
from tests.support.children import StartSidecar
from tests.support.requirements import missing

LIMIT_BYTES = int(os.environ.get(OUTPUT_VARIABLE, MEGABYTE))
"""What the sidecar under test is allowed to keep for one client."""

CLIENTS = 5

LET_GO_LIMIT_S = 15.0
"""Well above the five seconds that the sidecar gives to commands of a client that has ended its half."""

READS = b"".join(resp([b"MEMREAD", memory(number)]) for number in range(MEMORIES))
"""More than any socket's buffers and the limit hold together."""


@pytest.fixture
def limited(sidecar_process: StartSidecar, redis_url: str) -> SidecarProcess:
    """A sidecar with an output limit that the test reaches."""
    return filled(sidecar_process(redis_url=redis_url, settings={OUTPUT_VARIABLE: str(LIMIT_BYTES)}))


@pytest.fixture
def generous(sidecar_process: StartSidecar, redis_url: str) -> SidecarProcess:
    """A sidecar with an output limit that the test does not reach."""
    return filled(sidecar_process(redis_url=redis_url, settings={OUTPUT_VARIABLE: str(1024 * MEGABYTE)}))


def filled(started: SidecarProcess) -> SidecarProcess:
    """Give the sidecar memories to read."""
    if sys.platform != "linux":
        missing("open connections are counted in /proc, which only Linux has")
    with closing(Control(started.port)) as control:
        for number in range(MEMORIES):
            control.ask(b"MEMAPPEND", memory(number), b"user", b"some words " * (MEMORY_BYTES // 11))
    return started


def test_who_reads_nothing_is_disconnected(limited: SidecarProcess) -> None:
    """A client that leaves more replies unread than the limit loses its connection, and its memory comes back."""
    gauges = Gauges(limited.pid)
    files = gauges.files
    with Crowd(limited.port) as crowd:
        for member in crowd.join(CLIENTS):
            crowd.push(member, READS)
        limited.becomes(lambda: gauges.files >= files + CLIENTS, limit_s=LET_GO_LIMIT_S)
        assert limited.becomes(lambda: gauges.files <= files, limit_s=LET_GO_LIMIT_S), "they are still connected"


def test_who_reads_is_served_in_full(limited: SidecarProcess) -> None:
    """The limit is no limit of what a client may ask for: whoever reads gets every reply."""
    with closing(Control(limited.port)) as control:
        sizes = [len(repr(control.ask(b"MEMREAD", memory(number)))) for number in range(MEMORIES)]
    assert min(sizes) > MEMORY_BYTES


def test_who_has_half_gone_is_let_go(generous: SidecarProcess) -> None:
    """A client that ends its half of the stream and reads nothing does not stay, and keeps no replies in memory."""
    gauges = Gauges(generous.pid)
    files = gauges.files
    with Crowd(generous.port) as crowd:
        for member in crowd.join(CLIENTS):
            crowd.push(member, READS)
            member.shutdown(socket.SHUT_WR)
        generous.becomes(lambda: gauges.files >= files + CLIENTS, limit_s=LET_GO_LIMIT_S)
        assert generous.becomes(lambda: gauges.files <= files, limit_s=LET_GO_LIMIT_S), "they are still connected"
