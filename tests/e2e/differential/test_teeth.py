"""The comparison sees what it is there to see: sequences through a relay that tampers with the replies."""

from __future__ import annotations

import pytest

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.differential import tampering
from tests.e2e.differential.peer import LIMIT_S as USUAL_LIMIT_S
from tests.e2e.differential.script import parse
from tests.e2e.differential.tampering import Relay, Tamper
from tests.e2e.differential.theatre import Theatre

LIMIT_S = 2.0
"""Shorter than usual: a push that was dropped is waited for until the limit."""

SEQUENCE = """
=== something of everything that the relays look for
a: HELLO 3
a: CLIENT TRACKING on
a: SET k value
a: GET k
b: SET k other
b: GET none
a: NOSUCH
b+ INCR n
b: INCR n
b: PING
"""
TAMPERINGS = [
    (tampering.one_byte, "valuE"),
    (tampering.drop_push, "invalidate"),
    (tampering.swap, ":2"),
    (tampering.one_more, "PONG"),
    (tampering.reworded, "no such command"),
    (tampering.other_type, "_"),
]


def through(
    redis: RedisServer, sidecar: SidecarProcess, tamper: Tamper, *, mixed: bool, limit_s: float = LIMIT_S
) -> list[str]:
    """Play the sequence with a tampering relay in front of the sidecar and return the differences."""
    (sequence,) = parse("teeth", SEQUENCE)
    relay = Relay(sidecar.port, tamper)
    theatre = Theatre(redis, relay.port, limit_s=limit_s)
    try:
        if mixed:
            return theatre.compare_mixed(sequence, "1", special=True)[1]
        return theatre.compare(sequence)
    finally:
        theatre.close()
        relay.close()


@pytest.mark.parametrize("mixed", [False, True], ids=["plain", "mixed"])
def test_an_honest_relay_is_not_noticed(corpus_redis: RedisServer, corpus_sidecar: SidecarProcess, mixed: bool) -> None:
    """Without tampering there is no difference, so the differences below come from the tampering."""
    assert through(corpus_redis, corpus_sidecar, lambda piece: piece, mixed=mixed, limit_s=USUAL_LIMIT_S) == []


@pytest.mark.parametrize("mixed", [False, True], ids=["plain", "mixed"])
@pytest.mark.parametrize(("tamper", "shown"), TAMPERINGS, ids=lambda one: getattr(one, "__name__", ""))
def test_tampering_is_noticed(
    corpus_redis: RedisServer,
    corpus_sidecar: SidecarProcess,
    tamper: Tamper,
    shown: str,
    mixed: bool,
) -> None:
    """One byte, one push, one reply too many or in the wrong place: each is a difference that shows the bytes."""
    found = through(corpus_redis, corpus_sidecar, tamper, mixed=mixed)
    assert found
    assert shown in "\n".join(found)


def test_a_wrong_reply_of_a_mem_command_is_noticed(corpus_redis: RedisServer, corpus_sidecar: SidecarProcess) -> None:
    """The replies of the MEM commands themselves are compared too: with what they must be there."""
    found = through(corpus_redis, corpus_sidecar, lambda piece: piece.replace(b"*4\r\n:1", b"*4\r\n:9"), mixed=True)
    assert "MEMCOUNT" in "\n".join(found)
