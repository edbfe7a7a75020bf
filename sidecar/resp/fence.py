"""Finds out when everything that was forwarded on a connection has been answered, and in which state it is then.

One request is not one reply (SUBSCRIBE, CLIENT REPLY, MONITOR, EXEC …), so replies are not counted. In place of a MEM
command the session sends a *fence*: `ECHO <nonce>` and an unknown command whose name is the nonce, in one write. What
comes back identifies itself, and tells the state of the connection:

    state                          ECHO part                      unknown part
    normal, MONITOR, RESP3 pub/sub the nonce                      error with the nonce
    not authenticated              -NOAUTH …                      comes
    user who may not ECHO          -NOPERM … 'echo' …             comes
    subscribed on RESP2            -ERR Can't execute 'echo' …    comes
    inside MULTI                   +QUEUED                        comes, and makes EXEC fail
    CLIENT REPLY SKIP before it    nothing                        comes

After a HELLO or RESET the fence also asks for the protocol, with a `HELLO` without arguments between the two.
Everything in front of the fence is the client's and is passed on at once, apart from a tail that may be its beginning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

MAX_ERROR_LINE_BYTES = 512
"""Longest error line that is taken for the fence's. Redis shortens the unknown name to 128 bytes."""


class Turn(Enum):
    """What a MEM command may do now."""

    RUN = auto()
    REFUSED = auto()
    IN_TRANSACTION = auto()
    SILENT = auto()


@dataclass(frozen=True, slots=True)
class Passed:
    """The fence came back. `refusal` is Redis's error line, and `protocol` what HELLO told, or None."""

    turn: Turn
    refusal: bytes = b""
    protocol: int | None = None


class Fence:
    """One fence on its way.

    Args:
        nonce: hexadecimal digits that nobody can guess, so that no payload can look like the fence.
        ask_protocol: whether HELLO is part of it.
    """

    def __init__(self, nonce: bytes, *, ask_protocol: bool) -> None:
        hello = b"*1\r\n$5\r\nHELLO\r\n" if ask_protocol else b""
        size = len(nonce)
        self.request = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n%b*1\r\n$%d\r\n%b\r\n" % (size, nonce, hello, size, nonce)
        self._nonce = nonce
        self._echo = b"$%d\r\n%b\r\n" % (size, nonce)
        self._unknown = re.compile(rb"-[^\r\n]{0,64}%b[^\r\n]{0,%d}\r\n" % (nonce, MAX_ERROR_LINE_BYTES))
        self._held = b""

    def receive(self, data: bytes) -> tuple[bytes, Passed | None, bytes]:
        """Take the next bytes from Redis.

        Returns:
            The bytes for the client, the outcome if the fence is complete (else None), and the bytes behind it.
        """
        data = self._held + data if self._held else data
        end = self._unknown.search(data)
        if end is None:
            safe = self._safe_length(data)
            self._held = data[safe:]
            return data[:safe], None, b""
        self._held = b""
        start, passed = self._outcome(data, end.start())
        return data[:start], passed, data[end.end() :]

    def _outcome(self, data: bytes, unknown: int) -> tuple[int, Passed]:
        """Read what stands between the client's own bytes and the unknown command's error."""
        echo = data.rfind(self._echo, 0, unknown)
        if echo >= 0:
            return echo, Passed(Turn.RUN, protocol=_protocol(data[echo:unknown]))
        match = _REFUSALS.search(data, 0, unknown)
        if match is None:
            return unknown, Passed(Turn.SILENT)
        line = match[0][: match[0].index(b"\r\n")]
        if line == b"+QUEUED":
            return match.start(), Passed(Turn.IN_TRANSACTION)
        return match.start(), Passed(Turn.REFUSED, refusal=line)

    def _safe_length(self, data: bytes) -> int:
        """Return how many bytes cannot be part of the fence."""
        echo = data.find(self._echo)
        if echo >= 0:
            return echo
        tail = _TAIL.search(data)
        safe = tail.start() if tail else len(data)
        for length in range(min(len(self._echo) - 1, len(data)), 0, -1):
            if data.endswith(self._echo[:length]):
                return min(safe, len(data) - length)
        return safe


_REFUSAL_LINE = (
    rb"(?:-NOAUTH[^\r\n]*"
    rb"|-NOPERM[^\r\n]*'(?:echo|hello)'[^\r\n]*"
    rb"|-ERR Can't execute '(?:echo|hello)'[^\r\n]*"
    rb"|\+QUEUED)\r\n"
)
_REFUSALS = re.compile(_REFUSAL_LINE + rb"(?:" + _REFUSAL_LINE + rb")?\Z")
_PARTIAL_LINE = rb"(?:[-+][^\r\n]{0,%d}\r?)?" % MAX_ERROR_LINE_BYTES
_TAIL = re.compile(rb"(?:" + _REFUSAL_LINE + rb"){0,2}" + _PARTIAL_LINE + rb"\Z")


def _protocol(answer: bytes) -> int | None:
    found = re.search(rb"proto\r\n:(\d)\r\n", answer)
    return int(found[1]) if found else None
