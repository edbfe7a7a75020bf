"""Finds out when everything that was forwarded on a connection has been answered, and in which state it is then.

One request is not one reply (SUBSCRIBE, CLIENT REPLY, MONITOR, EXEC …), so replies are not counted. In place of a MEM
command the session sends a *fence*: `ECHO <nonce>` and an unknown command whose name is the nonce, in one write. What
comes back identifies itself, and tells the state of the connection:

    state                          ECHO part                      unknown part
    normal, MONITOR, RESP3 pub/sub the nonce                      error with the nonce
    not authenticated              -NOAUTH …                      comes
    user who may not ECHO          -NOPERM … 'echo' …             comes
    loading, script running, …     -LOADING …, -BUSY …            comes
    subscribed on RESP2            -ERR Can't execute 'echo' …    comes
    inside MULTI                   +QUEUED                        comes, and makes EXEC fail
    CLIENT REPLY SKIP before it    nothing                        comes

After a HELLO, AUTH or RESET, a second fence also asks what the connection is now, with `HELLO` (without arguments: the
protocol) and `ACL WHOAMI` (the user) between the two. A user who may not ask one of them gets an error there, unseen.
Everything in front of the fence is the client's and is passed on at once, apart from a tail that may be its beginning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from sidecar.resp.scan import end_of_reply

MAX_ERROR_LINE_BYTES = 512
"""Longest error line that is taken for the fence's. Redis shortens the unknown name to 128 bytes."""

MAX_TEXT_BEFORE_NAME = 40
"""Most bytes of the error about the unknown command in front of its name; Redis has 22, and 55 in front of the nonce
where it is ECHO that does not exist."""


class Turn(Enum):
    """What a MEM command may do now.

    ANSWERED means that something stood in ECHO's place which is not in the table; the client has got it.
    """

    RUN = auto()
    REFUSED = auto()
    IN_TRANSACTION = auto()
    SILENT = auto()
    ANSWERED = auto()


@dataclass(frozen=True, slots=True)
class Passed:
    """The fence came back.

    `refusal` is Redis's error line; `protocol` and `user` are what it told when it was asked, or None.
    """

    turn: Turn
    refusal: bytes = b""
    protocol: int | None = None
    user: bytes | None = None


class Fence:
    """One fence on its way.

    Args:
        nonce: hexadecimal digits that nobody can guess, so that no payload can look like the fence.
        ask: whether HELLO and ACL WHOAMI are part of it. Only where ECHO is known to be answered: a refused ECHO could
            not be told from a refused HELLO, nor from the client's own replies in front.
    """

    def __init__(self, nonce: bytes, *, ask: bool) -> None:
        questions = _QUESTIONS if ask else b""
        size = len(nonce)
        self.request = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n%b*1\r\n$%d\r\n%b\r\n" % (
            size,
            nonce,
            questions,
            size,
            nonce,
        )
        self.asks = ask
        self._echo = b"$%d\r\n%b\r\n" % (size, nonce)
        self._name = re.compile(rb"%b[^\r\n]{0,%d}\r\n" % (nonce, MAX_ERROR_LINE_BYTES))
        self._held = b""

    def receive(self, data: bytes) -> tuple[bytes, Passed | None, bytes]:
        """Take the next bytes from Redis.

        Returns:
            The bytes for the client, the outcome if the fence is complete (else None), and the bytes behind it.
        """
        data = self._held + data if self._held else data
        unknown = self._find_unknown(data)
        if unknown is None:
            safe = self._safe_length(data)
            self._held = data[safe:]
            return data[:safe], None, b""
        self._held = b""
        start, end = unknown
        before, passed = self._outcome(data[:start])
        return before, passed, data[end:]

    def release(self) -> bytes:
        """Return what is held of the client's own replies: Redis is gone, and the fence will not come."""
        held, self._held = self._held, b""
        return held[: self._echo_start(held)]

    def _find_unknown(self, data: bytes) -> tuple[int, int] | None:
        """Return where the error about the unknown command starts and ends."""
        for named in self._name.finditer(data):
            line = data.rfind(b"\n", max(named.start() - MAX_TEXT_BEFORE_NAME, 0), named.start()) + 1
            if data.startswith(b"-", line) and named.start() - line < MAX_TEXT_BEFORE_NAME:
                return line, named.end()
        return None

    def _outcome(self, data: bytes) -> tuple[bytes, Passed]:
        """Take what stands in front of the unknown command's error apart: the client's own bytes, and the rest."""
        echo = data.rfind(self._echo)
        if echo >= 0:
            # Redis may have read the fence in two pieces and sent a push between them: that is the client's.
            between = data[echo + len(self._echo) :]
            if not self.asks:
                return data[:echo] + between, Passed(Turn.RUN)
            between, answers = _sorted_out(between)
            protocol, user = (_protocol(answers[0]), _user(answers[1])) if len(answers) == 2 else (None, None)
            return data[:echo] + between, Passed(Turn.RUN, protocol=protocol, user=user)
        match = _REFUSED.search(data, max(len(data) - _LONGEST_TAIL_BYTES, 0))
        if match is None:
            return data, Passed(Turn.SILENT)
        line = match[0].removesuffix(b"\r\n")
        if line == b"+QUEUED":
            return data[: match.start()], Passed(Turn.IN_TRANSACTION)
        return data[: match.start()], Passed(Turn.REFUSED, refusal=line)

    def _safe_length(self, data: bytes) -> int:
        """Return how many bytes cannot be part of the fence."""
        # Not from the start: on a long value full of signs the search would take the square of its length.
        tail = _TAIL.search(data, max(len(data) - _LONGEST_TAIL_BYTES, 0))
        return min(self._echo_start(data), tail.start() if tail else len(data))

    def _echo_start(self, data: bytes) -> int:
        """Return where the echoed nonce begins, be it only its first bytes at the end."""
        echo = data.find(self._echo)
        if echo >= 0:
            return echo
        for length in range(min(len(self._echo) - 1, len(data)), 0, -1):
            if data.endswith(self._echo[:length]):
                return len(data) - length
        return len(data)


_TEXT = rb"[^\r\n]{0,%d}" % MAX_ERROR_LINE_BYTES
_REFUSAL_LINE = (
    rb"(?:-(?:NOAUTH|LOADING|MASTERDOWN|BUSY)"
    + _TEXT
    + rb"|-NOPERM"
    + _TEXT
    + rb"'echo'"
    + _TEXT
    + rb"|-ERR Can't execute 'echo'"
    + _TEXT
    + rb"|\+QUEUED)\r\n"
)
_REFUSED = re.compile(_REFUSAL_LINE + rb"\Z")
_TAIL = re.compile(rb"(?:" + _REFUSAL_LINE + rb")?(?:[-+]" + _TEXT + rb"\r?)?\Z")
_LONGEST_TAIL_BYTES = 3 * MAX_ERROR_LINE_BYTES + 100


_QUESTIONS = b"*1\r\n$5\r\nHELLO\r\n*2\r\n$3\r\nACL\r\n$6\r\nWHOAMI\r\n"
_USER = re.compile(rb"\$\d+\r\n([^\r\n]*)\r\n")


def _sorted_out(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return pushes and lines of MONITOR, which are the client's, and the answers to our questions."""
    unasked: list[bytes] = []
    answers: list[bytes] = []
    position = 0
    while (end := end_of_reply(data, position)) is not None:
        item = data[position:end]
        (unasked if item[:1] in (b">", b"+") else answers).append(item)
        position = end
    return b"".join(unasked), answers


def _protocol(hello: bytes) -> int | None:
    found = re.search(rb"proto\r\n:(\d)\r\n", hello)
    return int(found[1]) if found else None


def _user(whoami: bytes) -> bytes | None:
    """Return the name in the answer to ACL WHOAMI; None for an error."""
    found = _USER.fullmatch(whoami)
    return found[1] if found else None
