"""Pushes stay whole: every kind of reply, cut everywhere, and real ones of a real Redis."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.resp.pushes import PushBoundary

REPLIES: dict[str, bytes] = {
    "line of MONITOR": b'+1700000000.1 [0 127.0.0.1:5] "GET" "k"\r\n',
    "error": b"-ERR no\r\n",
    "integer": b":-5\r\n",
    "bulk": b"$5\r\na\r\nbc\r\n",
    "empty bulk": b"$0\r\n\r\n",
    "null bulk": b"$-1\r\n",
    "null": b"_\r\n",
    "boolean": b"#t\r\n",
    "double": b",1.5\r\n",
    "big number": b"(123456789012345678901234567890\r\n",
    "verbatim": b"=7\r\ntxt:a\r\n\r\n",
    "blob error": b"!6\r\nERR \r\n\r\n",
    "empty array": b"*0\r\n",
    "null array": b"*-1\r\n",
    "message on RESP2": b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n*1\r\n\r\n",
    "message on RESP3": b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n>3\r\n\r\n",
    "invalidation": b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "invalidation of everything": b">2\r\n$10\r\ninvalidate\r\n_\r\n",
    "nested": b"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n*1\r\n:2\r\n",
    "map": b"%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n",
    "set": b"~2\r\n:1\r\n:2\r\n",
    "attribute": b"|1\r\n+ttl\r\n*1\r\n:1\r\n*2\r\n:1\r\n:2\r\n",
    "attribute inside": b"*2\r\n|1\r\n+a\r\n:1\r\n:7\r\n:8\r\n",
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_passed_on_whole(name: str) -> None:
    """Of a reply cut anywhere, nothing goes on before its last byte, and then all of it; what follows waits again."""
    reply = REPLIES[name]
    for cut in range(len(reply)):
        boundary = PushBoundary()
        assert boundary.receive(reply[:cut]) == b""
        assert boundary.receive(reply[cut:] + reply[:-1]) == reply
        assert boundary.receive(reply[-1:]) == reply


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(list(REPLIES.values())), max_size=8), st.data())
def test_random_replies_cut_at_random(replies: list[bytes], draw: st.DataObject) -> None:
    """However a stream is cut, what has gone on is at each moment a number of whole replies, and nothing is lost."""
    data = b"".join(replies)
    ends = {len(b"".join(replies[:count])) for count in range(len(replies) + 1)}
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(data)), max_size=20)))
    boundary, passed = PushBoundary(), b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        passed += boundary.receive(data[start:end])
        assert len(passed) == max(whole for whole in ends if whole <= end)
    assert passed == data


def test_release() -> None:
    """What is held is given up on request, and then a new reply begins."""
    boundary = PushBoundary()
    assert boundary.receive(b":1\r\n>2\r\n+a\r\n") == b":1\r\n"
    assert boundary.release() == b">2\r\n+a\r\n"
    assert boundary.release() == b""
    assert boundary.receive(b":2\r\n") == b":2\r\n"


def test_a_long_message_in_many_pieces() -> None:
    """A message of 64 MB in pieces of 16 kB costs its length, not its square."""
    boundary = PushBoundary()
    piece = b"x" * 16_384
    begun = time.process_time()
    boundary.receive(b">1\r\n$%d\r\n" % (len(piece) * 4_096))
    for _ in range(4_096):
        assert boundary.receive(piece) == b""
    assert len(boundary.receive(b"\r\n")) == len(piece) * 4_096 + 17
    assert time.process_time() - begun < 2
