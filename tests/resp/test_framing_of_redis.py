"""The framer against a real Redis: the commands that it finds are those that Redis executes.

ECHO plays our command here: what Redis echoes is what it took for a command, word by word.
"""

from __future__ import annotations

import socket

import hiredis
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.dev.servers import RedisServer
from sidecar.resp.requests import Forward, Own, RequestFramer

MARK = b"*2\r\n$4\r\nECHO\r\n$4\r\nmark\r\n"


def seen_by_redis(port: int, data: bytes) -> list[bytes]:
    """Return what Redis echoes until the end of the stream, or until it closes the connection."""
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65_536):
            reader.feed(received)
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    return [reply for reply in replies if isinstance(reply, bytes) and reply != b"OK"]


def seen_by_framer(data: bytes) -> tuple[list[bytes], bool]:
    """Return the words of each ECHO that the framer finds, and whether it still looks for more at the end."""
    framer = RequestFramer({b"ECHO"})
    own = [frame for frame in framer.receive(data) if isinstance(frame, Own)]
    looking = not framer.held_bytes and not any(isinstance(frame, Forward) for frame in framer.receive(MARK))
    return [frame.arguments[0] for frame in own if len(frame.arguments) == 1], looking


CLEAN = [
    b"*2\r\n$4\r\nECHOXX$3\r\none??",
    b"*2\r\n$4\r\necho$1$1\r\na*1",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-10\r\n",
    b"\r\n",
    b"\n",
    b"echo 'a b'\n",
    b'ECHO "\\x41\\n"\r\n',
    b"ECHO\va\r\n",
    b"\vECHO a\r\n",
    b"'ECHO' k\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nECHO\r\n\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*1\r\n$4\r\nECHO\r\n",
    b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n",
    MARK,
]
ODD = [
    b"*01\r\n",
    b"*+2\r\n",
    b"* 2\r\n",
    b"*-0\r\n",
    b"*\r\n",
    b"*2147483648\r\n",
    b"*1\r\n:4\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$+4\r\n",
    b"*1\r\n$04\r\nECHO\r\n",
    b"*2\r\n$4\r\nECHO\r\n$x\r\n",
    b"*3\r\n$3\r\nGET\r\n$-2\r\n",
    b"*2\r\n$6\r\nCLIENT\r\n$x\r\n",
    b"ECHO 'open\r\n",
    b'ECHO "a"b\r\n',
    b"a" * 70_000,
]


@pytest.mark.parametrize("piece", CLEAN)
def test_clean_pieces(redis_server: RedisServer, piece: bytes) -> None:
    """After a strange but valid piece, framer and Redis find the same commands."""
    found, looking = seen_by_framer(MARK + piece + MARK)
    assert looking
    assert found == seen_by_redis(redis_server.port, MARK + piece + MARK)
    assert found[-1] == b"mark"


@pytest.mark.parametrize("piece", ODD)
def test_odd_pieces(redis_server: RedisServer, piece: bytes) -> None:
    """Where Redis gives up and closes, the framer has given up too."""
    found, looking = seen_by_framer(MARK + piece + MARK)
    assert not looking
    assert found == seen_by_redis(redis_server.port, MARK + piece + MARK) == [b"mark"]


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([*CLEAN, *ODD[:-1]]),
            st.sampled_from([b"*", b"$", b"2", b"4", b"-", b"\r\n", b"\r", b"\n", b"ECHO", b" ", b"'", b"\0"]),
        ),
        max_size=10,
    )
)
@example([b"*", b"2", b"\r", b"\r", b"$4\r\nECHO\r\n$1\r\na\r\n"])
def test_random_streams(redis_server: RedisServer, pieces: list[bytes]) -> None:
    """The framer never finds a command that Redis does not, and none less as long as it looks."""
    data = b"".join([MARK, *pieces, b"\r\n", MARK])
    found, looking = seen_by_framer(data)
    executed = seen_by_redis(redis_server.port, data)
    assert found == executed[: len(found)]
    assert found == executed or not looking
