"""Throws one stream at Redis and at a sidecar in front of another, empty Redis, and tells what differs.

Redis is the oracle. A stream without MEM commands must be answered with the same bytes and end alike. One with MEM
commands must be framed alike: to Redis a MEM command is an unknown one, so it answers exactly one error where the
sidecar answers exactly one reply, and everything else is the same again. A value that was taken for a command, or a
command for a value, shows as a reply too many or too few, or as a key that exists on one side only.

Nothing waits by the clock. Redis serves connections in turn, so a stream has been dealt with once another connection
has been answered often enough.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass

import hiredis

from sidecar.commands.table import COMMANDS
from tests.hostile.streams import Stream, resp

REPLY_LIMIT_S = 5.0
"""Longest time for any answer; the slowest command of a stream takes a few milliseconds."""

READ_BYTES = 64 * 1024

REDIS_READ_BYTES = 16 * 1024
"""What Redis reads from a connection at a time, so how often others are served while it reads a stream."""

SURE_BYTES = 16 * 1024
"""Replies that surely arrive. When Redis closes with bytes unread, the kernel drops what it has not delivered yet."""

ROUNDS_TO_ACCEPT = 4
"""Turns of Redis's loop in which a new connection is surely accepted, read and answered."""

WITNESS = b"witness"
"""Part of the name of every key that a witness uses, so that it can look on."""

MAX_SHOWN = 3_000
"""Longest account of one side of a difference."""

_RUN = re.compile(rb"(.)\1{99,}", re.DOTALL)
_ID = re.compile(rb"(\$2\r\nid\r\n:)\d+")
_HUGE = re.compile(rb"[*$](1048576|53687091[12])\r")
_STRANGER = b"Protocol error: unauthenticated"
_INFO = b"\r\nredis_version:"  # a mutation makes INFO of MEMINFO; no two servers answer it alike
_UNKNOWN = re.compile(rb"ERR unknown command [`'](\w+)[`']", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw: replies, whether the server had closed before the client did, and what came after that."""

    replies: bytes
    closed: bool
    late: bytes = b""

    def __str__(self) -> str:
        end = "closed" if self.closed else "open"
        return f"{shown(self.replies)} ({end}), then {shown(self.late)}"


def shown(data: bytes) -> str:
    """Return bytes for people: long runs of one byte are shortened."""
    return _RUN.sub(lambda run: b"%b{%d}" % (run[1], len(run[0])), data).__repr__()[:MAX_SHOWN]


class Control:
    """A connection on which only PING and questions about the data are asked.

    Args:
        port: of Redis, or of a sidecar.
        password: of the default user, if it has one.
    """

    def __init__(self, port: int, password: str | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if password is not None:
            self.ask(b"AUTH", password.encode())

    def ask(self, *words: bytes) -> object:
        """Send one command and return its reply."""
        self._socket.sendall(resp(words))
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(READ_BYTES)
            if not received:
                raise ConnectionError("the server closed a connection that had done nothing wrong")
            self._reader.feed(received)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def pings(self, times: int) -> None:
        """Have the server answer this connection so many times."""
        for _ in range(times):
            self.ask(b"PING")

    def keys(self) -> set[bytes]:
        """Return the keys that neither the sidecar nor a witness wrote."""
        return {key for key in self._all_keys() if not key.startswith(b"mem:")}

    def clear(self) -> None:
        """Delete everything that is not a witness's."""
        keys = self._all_keys()
        if keys:
            self.ask(b"DEL", *keys)

    def _all_keys(self) -> set[bytes]:
        found = self.ask(b"KEYS", b"*")
        assert isinstance(found, list)
        return {key for key in found if WITNESS not in key}

    def close(self) -> None:
        self._socket.close()


class Pair:
    """A Redis alone, and a sidecar with a Redis of its own, both in the same state.

    Args:
        alone: port of the one.
        sidecar: port of the other's sidecar.
        behind: port of the Redis behind it.
        password: of both, which streams have to give; None: none is asked for.
    """

    def __init__(self, *, alone: int, sidecar: int, behind: int, password: str | None = None) -> None:
        self._alone, self._sidecar = alone, sidecar
        self._control = Control(alone, password)
        self._behind = Control(behind, password)
        self._through = Control(sidecar, password)

    def close(self) -> None:
        for control in (self._control, self._behind, self._through):
            control.close()

    def difference(self, stream: Stream) -> str | None:
        """Throw a stream at both and return what differs, in words; None if nothing does."""
        self._control.clear()
        self._behind.clear()
        expected = self._directly(stream.data)
        seen = self._through_sidecar(stream, expected)
        problem = None
        if not may_be_refused_early(stream.data) and _INFO not in expected.replies:
            problem = compare(expected, seen, ends=not may_be_silent(stream.data))
        keys, others = self._control.keys(), self._behind.keys()
        if problem is None and keys != others and _STRANGER not in expected.replies:
            problem = f"Redis has the keys {sorted(keys)}, and behind the sidecar there are {sorted(others)}"
        if problem is None:
            return None
        return f"{problem}\n  stream:  {shown(stream.data)}\n  cuts:    {stream.cuts}\n" + (
            f"  Redis:   {expected}\n  sidecar: {seen}"
        )

    def _directly(self, data: bytes) -> Seen:
        with socket.create_connection(("127.0.0.1", self._alone), timeout=REPLY_LIMIT_S) as client:
            _send(client, data)
            replies, closed, turns = b"", False, ROUNDS_TO_ACCEPT + len(data) // REDIS_READ_BYTES
            while True:
                self._control.pings(turns)
                received, closed = _available(client)
                replies += received
                if closed or not received:
                    break
                turns = ROUNDS_TO_ACCEPT
            return Seen(replies, closed, b"" if closed else _rest(client))

    def _through_sidecar(self, stream: Stream, expected: Seen) -> Seen:
        with socket.create_connection(("127.0.0.1", self._sidecar), timeout=REPLY_LIMIT_S) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for chunk in stream.chunks():
                if not _send(client, chunk):
                    break
                self._through.ask(b"PING")  # so that the sidecar reads the chunks one by one
            if _STRANGER in expected.replies:
                _rest(client)
                return expected
            wanted, replies, closed = count_replies(expected.replies), b"", False
            waits_for_end = expected.closed and not may_be_silent(stream.data)
            try:
                while not closed and (waits_for_end or count_replies(replies) < wanted):
                    received = _receive(client)
                    replies += received
                    closed = not received
            except TimeoutError:
                return Seen(replies, closed, b"(no more within the limit)")
            return Seen(replies, closed, b"" if closed else _rest(client))


def may_be_silent(data: bytes) -> bool:
    """Tell whether a client may have asked for no replies.

    Redis closes such a connection after a protocol error only if some earlier reply is still to be written, so its end
    depends on how the bytes were cut.
    """
    return b"REPLY" in data.upper()


def may_be_refused_early(data: bytes) -> bool:
    """Tell whether a MEM command may announce more than the sidecar takes: it says so at once, and Redis waits."""
    return b"MEM" in data.upper() and _HUGE.search(data) is not None


def compare(expected: Seen, seen: Seen, *, ends: bool) -> str | None:
    """Return how what a client of the sidecar saw differs from what one of Redis saw, or None.

    Redis hangs up on a stranger whose command is long; the sidecar takes a MEM command whole before it asks Redis who
    is there, so that such a stream is compared no further.

    `ends` says whether the connection must have ended alike too.
    """
    if ends and expected.closed != seen.closed:
        return f"Redis {'closed' if expected.closed else 'kept'} the connection, the sidecar did not"
    cut_off = expected.closed and len(expected.replies) > SURE_BYTES
    ours, theirs = _parsed(seen.replies + seen.late), _parsed(expected.replies + expected.late)
    if not any(_is_ours(reply) for reply in theirs):
        one, two = (_without_ids(side.replies + side.late) for side in (expected, seen))
        same = one == two or (cut_off and (one.startswith(two) or two.startswith(one)))
        return None if same or _unsubscribed_alike(theirs, ours) else "the bytes differ"
    if len(ours) != len(theirs) and not cut_off:
        return f"Redis sent {len(theirs)} replies, the sidecar {len(ours)}"
    for number, (reply, other) in enumerate(zip(theirs, ours, strict=False), 1):
        if not _is_ours(reply) and repr(reply) != repr(other):
            return f"reply {number} is {other!r:.300}, and Redis's is {reply!r:.300}"
    return None


def count_replies(data: bytes) -> int:
    """Return how many whole replies there are."""
    return len(_parsed(data))


def _parsed(data: bytes) -> list[object]:
    reader = hiredis.Reader()
    reader.feed(_without_ids(data))
    replies: list[object] = []
    while (reply := reader.gets()) is not False or reader.has_data():
        if reply is False and reader.has_data():
            break
        replies.append(reply)
    return replies


def _without_ids(data: bytes) -> bytes:
    """Take the connection's number out of a reply to HELLO; nothing else may differ."""
    return _ID.sub(rb"\g<1>0", data)


def _is_ours(reply: object) -> bool:
    if not isinstance(reply, hiredis.ReplyError):
        return False
    match = _UNKNOWN.match(str(reply).encode())
    return match is not None and match[1].upper() in COMMANDS


def _unsubscribed_alike(theirs: list[object], ours: list[object]) -> bool:
    """Compare without the order of channels: UNSUBSCRIBE of all of them takes that of a hash table."""

    def known(reply: object) -> str:
        leaving = isinstance(reply, list) and reply[:1] in ([b"unsubscribe"], [b"punsubscribe"])
        return repr([reply[0], reply[2]] if leaving and isinstance(reply, list) else reply)

    return b"unsubscribe" in repr(theirs).encode() and list(map(known, theirs)) == list(map(known, ours))


def _send(client: socket.socket, data: bytes) -> bool:
    """Send what the server still takes; False once it has closed."""
    try:
        client.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _receive(client: socket.socket) -> bytes:
    try:
        return client.recv(READ_BYTES)
    except ConnectionResetError:  # closed with some of our bytes unread, as Redis does after a protocol error
        return b""


def _available(client: socket.socket) -> tuple[bytes, bool]:
    """Return what is there to read, and whether the server has closed."""
    client.setblocking(False)
    received = b""
    try:
        while piece := _receive(client):
            received += piece
        return received, True
    except BlockingIOError:
        return received, False
    finally:
        client.settimeout(REPLY_LIMIT_S)


def _rest(client: socket.socket) -> bytes:
    """End our half of the stream and return what still comes."""
    with suppress(OSError):  # closed by the other side meanwhile
        client.shutdown(socket.SHUT_WR)
    received = b""
    try:
        while piece := _receive(client):
            received += piece
    except TimeoutError:
        received += b"(still open)"
    return received
