"""Where replies end: a table, each fed whole, cut short anywhere, and with something behind it."""

from __future__ import annotations

import pytest

from tests.e2e.differential.wire import NoReply, multibulk, reply_end, split

REPLIES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$5\r\na\r\nb*\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    b"%1\r\n+a\r\n~1\r\n#t\r\n",
    b">2\r\n+message\r\n_\r\n",
    b"|1\r\n+key\r\n:1\r\n+OK\r\n",
    b"=7\r\ntxt:abc\r\n",
    b",1.5\r\n",
    b"(123456789012345678901234567890\r\n",
    b"!3\r\nERR\r\n",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_the_end_of_a_reply(reply: bytes) -> None:
    """A reply ends where it ends: never before, whatever follows."""
    assert reply_end(reply, 0) == len(reply)
    assert reply_end(b"+OK\r\n" + reply + b"$9\r\n", 5) == 5 + len(reply)
    for length in range(len(reply)):
        assert reply_end(reply[:length], 0) is None


@pytest.mark.parametrize("data", [b"OK\r\n", b"$x\r\n", b"\r\n", b"*1\r\nwhat\r\n"])
def test_what_is_no_reply(data: bytes) -> None:
    """Bytes that are no RESP are said to be none."""
    with pytest.raises(NoReply):
        reply_end(data, 0)


def test_split() -> None:
    """A stream is cut into its replies, and what is left is kept."""
    assert split(b"".join(REPLIES) + b"$5\r\nab") == (REPLIES, b"$5\r\nab")
    assert split(b"+OK\r\nHTTP\r\n+OK\r\n") == ([b"+OK\r\n"], b"HTTP\r\n+OK\r\n")


def test_multibulk() -> None:
    """A request is an array of bulk strings."""
    assert multibulk([b"GET", b"\r\n"]) == b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n"
