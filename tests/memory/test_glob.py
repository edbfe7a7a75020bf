"""Glob patterns, against Redis's own matching."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.commands.table import COMMANDS
from sidecar.dev.servers import RedisServer
from sidecar.memory.glob import matches
from tests.commands.asking_redis import RawRedis, parsed

CASES: list[tuple[bytes, bytes, bool]] = [
    (b"*", b"memread", True),
    (b"", b"memread", False),
    (b"memread", b"memread", True),
    (b"memrea", b"memread", False),
    (b"memreads", b"memread", False),
    (b"MEM*", b"memread", True),
    (b"mem*", b"MEMREAD", True),
    (b"*d", b"memread", True),
    (b"m*m*d*", b"memread", True),
    (b"*mm*", b"memread", False),
    (b"memrea?", b"memread", True),
    (b"memread?", b"memread", False),
    (b"mem[r-z]ead", b"memread", True),
    (b"mem[z-r]ead", b"memread", True),
    (b"mem[^a-q]ead", b"memread", True),
    (b"mem[^r]ead", b"memread", False),
    (b"mem[xr", b"memr", True),
    (b"mem[", b"memr", False),
    (b"mem[^", b"memr", True),
    (b"mem\\read", b"memread", True),
    (b"mem\\*", b"memread", False),
    (b"mem\\*", b"mem*", True),
    (b"mem[\\]x]", b"mem]", True),
    (b"mem\\", b"mem\\", True),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), CASES)
def test_patterns(pattern: bytes, name: bytes, fits: bool) -> None:
    """Stars, question marks, sets, ranges and escapes mean what they mean in Redis, in upper and lower case."""
    assert matches(pattern, name) is fits


@pytest.fixture(scope="module")
def names_as_keys(redis_server: RedisServer) -> Iterator[RawRedis]:
    """A connection to a database that has a key for each of our commands, named as it is."""
    connection = RawRedis(redis_server.port, 2)
    connection.ask("SELECT", "9")
    yield connection
    connection.ask("FLUSHDB")
    connection.close()


@settings(max_examples=500, deadline=None)
@given(pattern=st.text("mearclu*?[]^-\\z", max_size=10))
def test_the_same_as_redis(names_as_keys: RawRedis, pattern: str) -> None:
    """Of any pattern, KEYS finds those names as keys that it fits here."""
    names = [name.decode().lower() for name in COMMANDS]
    names_as_keys.ask("MSET", *[word for name in names for word in (name, "")])
    found = parsed(names_as_keys.ask("KEYS", pattern))
    assert sorted(found) == sorted(name for name in names if matches(pattern.encode(), name.encode()))


def test_a_pattern_that_is_expensive_elsewhere() -> None:
    """Many stars cost no more than the product of both lengths."""
    begun = time.process_time()
    assert not matches(b"*m" * 512, b"m" * 9)
    assert not matches(b"*" * 1_024 + b"x", b"m" * 9)
    assert time.process_time() - begun < 0.5
