"""Mutated and re-chunked streams through a sidecar and to Redis directly; first, that the oracle sees a difference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.differential import Pair, Seen, compare
from tests.hostile.streams import Stream, make_stream, resp
from tests.support.children import Children, StartRedis, StartSidecar

PASSWORD = "secret"
"""The one that the grammar knows."""

EXAMPLES = 60
"""Streams of each of the four kinds in CI; the long run throws a hundred a second until it is stopped."""

UNKNOWN = b"-ERR unknown command `MEMINFO`, with args beginning with: `k`, \r\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[Children]:
    """The servers of this module; its pairs live as long as it."""
    children = Children()
    yield children
    children.stop_all()


@pytest.fixture(scope="module", params=[None, PASSWORD], ids=["open", "password"])
def pair(
    request: pytest.FixtureRequest,
    servers: Children,
    redis_program: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """A Redis alone, and one behind a sidecar; without a password and with one."""
    password = request.param
    start = StartRedis(servers, tmp_path_factory.mktemp("pair"), redis_program)
    options = ("--requirepass", password) if password else ()
    alone, behind = start(*options), start(*options)
    url = behind.url.replace("redis://", f"redis://:{password}@") if password else behind.url
    sidecar = StartSidecar(servers)(redis_url=url)
    pair = Pair(alone=alone.port, sidecar=sidecar.port, behind=behind.port, password=password)
    yield pair
    pair.close()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False), mutated=st.booleans())
def test_forwarded_streams(pair: Pair, random: Random, mutated: bool) -> None:
    """Without MEM commands, every byte and the end of the connection are Redis's own."""
    difference = pair.difference(make_stream(random, ours=False, mutated=mutated))
    assert difference is None, difference


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False), mutated=st.booleans())
def test_streams_with_ours(pair: Pair, random: Random, mutated: bool) -> None:
    """With MEM commands, no value is taken for a command, no command for a value, and all else is Redis's own."""
    difference = pair.difference(make_stream(random, ours=True, mutated=mutated))
    assert difference is None, difference


FOUND = [
    # A length of 19 digits: the position behind it overflowed, and the connection broke.
    (b"*3\r\n$9\r\nMEMAPPEND\r\n$9223372036854775807\r\nk\r\n$1\r\nx\r\n", ()),
    (b"*3\r\n$3\r\nSET\r\n$9223372036854775807\r\nk\r\n$1\r\nx\r\n", ()),
    # An argument of ours that is longer than Redis allows: two gigabytes were waited for.
    (b"*2\r\n$7\r\nMEMREAD\r\n$2147483648\r\nk\r\n", ()),
    # CLIENT REPLY OFF as a line, behind a value that came in two parts: a fence was put into the value.
    (resp([b"PING", b"x" * 40]) + b"CLIENT REPLY OFF\r\n", (30,)),
    # A protocol error with more behind it: Redis answers and hangs up, and the answer was lost.
    (resp([b"MEMINFO", b"k"]) + b"*1\r\n:1\r\n" + resp([b"SET", b"k", b"x" * 30_000]), (30, 60, 100, 20_000)),
]


@pytest.mark.parametrize(("data", "cuts"), FOUND)
def test_streams_that_have_been_wrong(pair: Pair, data: bytes, cuts: tuple[int, ...]) -> None:
    """Each stream that once was a finding stays right."""
    difference = pair.difference(Stream(data, cuts, mutated=True))
    assert difference is None, difference


DIFFERENT = [
    (Seen(b"+OK\r\n", False), Seen(b"+KO\r\n", False), "the bytes differ"),
    (Seen(b"+OK\r\n", False), Seen(b"", False), "the bytes differ"),
    (Seen(b"+OK\r\n", False), Seen(b"+OK\r\n", False, b"+OK\r\n"), "the bytes differ"),
    (Seen(b"+OK\r\n", True), Seen(b"+OK\r\n", False), "closed the connection"),
    (Seen(UNKNOWN, False), Seen(b":1\r\n:2\r\n", False), "the sidecar 2"),
    (Seen(UNKNOWN + b"+OK\r\n", False), Seen(b":1\r\n", False), "the sidecar 1"),
    (Seen(UNKNOWN + b"+OK\r\n", False), Seen(b":1\r\n-ERR no\r\n", False), "reply 2"),
    (Seen(UNKNOWN + b":1\r\n", False), Seen(b":1\r\n$1\r\n1\r\n", False), "reply 2"),
]


@pytest.mark.parametrize(("expected", "seen", "words"), DIFFERENT)
def test_the_oracle_sees_differences(expected: Seen, seen: Seen, words: str) -> None:
    """A wrong byte, a lost or additional reply and another end are all told."""
    assert words in (compare(expected, seen, ends=True) or "")


def test_the_oracle_allows_our_replies() -> None:
    """Where Redis does not know the command, any one reply is right, and the number of the connection may differ."""
    assert compare(Seen(UNKNOWN + b"+OK\r\n", False), Seen(b"*1\r\n:1\r\n+OK\r\n", False), ends=True) is None
    assert compare(Seen(b"$2\r\nid\r\n:12\r\n", False), Seen(b"$2\r\nid\r\n:7\r\n", False), ends=True) is None
