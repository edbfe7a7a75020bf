"""What is known of a client's connection at Redis, and what has to be asked before a MEM command may run on it.

Requests only hint at what may have changed; what it has come to is told by fences (`resp.fence`). Three things are
asked one after the other, each only where it is not known:

    Need        asked by                                         tells
    FENCE       a fence                                          whether it is our turn, and in which mode
    ASK         a fence with HELLO and ACL WHOAMI in it          protocol and user, after HELLO, AUTH or RESET
    IDENTITY    authenticating a connection of our own           which of the client's credentials are good

No bytes and no queue here: that is `session.Session`.
"""

from __future__ import annotations

from enum import Enum, auto

from sidecar.resp.fence import Fence, Passed, Turn
from sidecar.resp.requests import Forward
from sidecar.resp.watched import Credentials, Hint, credentials_in, is_plain_login

MAX_CANDIDATES = 4
"""Logins of one connection that are remembered. Pools that pass a connection from user to user log in at each turn."""


class Need(Enum):
    """What is to be asked next."""

    FENCE = auto()
    ASK = auto()
    IDENTITY = auto()


class ConnectionState:
    """The state of one connection, as far as it is known."""

    def __init__(self) -> None:
        self.turn: Turn | None = None  # None: something was forwarded since the last fence, or no fence yet
        self.refusal = b""
        self.untouched = True  # nothing was forwarded yet
        self.protocol = 2
        self.replies_off = False
        self.perhaps_in_transaction = False
        self.perhaps_blocked = False  # a BLPOP, say, is among what the fence waits for
        self.user: bytes | None = None
        self.problem: str | None = None  # why there is no identity
        self._problem_lasts = False  # until something else is forwarded; otherwise each command asks anew
        self._logins: tuple[Credentials | None, ...] = (None,)
        self._login_doubtful = False
        self.asked = True  # HELLO and WHOAMI would tell nothing new; a new connection speaks RESP2
        self._identified = False
        self._reply_skipped = False
        self._silence_queued = False  # CLIENT REPLY OFF waits for EXEC

    @property
    def settled(self) -> bool:
        """Whether forwarding one more request, if it hints at nothing, changes nothing here."""
        return self.turn is None and not self._reply_skipped and self.problem is None and not self.untouched

    @property
    def candidates(self) -> tuple[Credentials | None, ...]:
        """What the client logged in with, newest first; None stands for no login.

        Nothing where one may have failed with good credentials, or was not seen, and Redis does not name the user.
        """
        return () if self._login_doubtful and self.user is None else self._logins

    @property
    def unanswered(self) -> bool:
        """Whether the next request gets no reply. A fence before it would be skipped in its place."""
        return self.replies_off or self._reply_skipped

    def forwarded(self, frame: Forward) -> None:
        """Note what the command that goes to Redis may change."""
        turn, hint = self.turn, frame.hint
        self.turn = None
        self.problem = None
        self.untouched = False
        self._reply_skipped = hint is Hint.REPLY_SKIPPED
        if hint is None:
            return
        if hint is Hint.BLOCKS:
            self.perhaps_blocked = True
        if hint in (Hint.PROTOCOL, Hint.LOGIN, Hint.RESET):
            self._may_be_another(frame)
        if hint in (Hint.REPLIES_ON, Hint.RESET):
            self.replies_off = False
        elif hint is Hint.REPLIES_OFF and self.perhaps_in_transaction:
            self._silence_queued = True
        elif hint is Hint.REPLIES_OFF and turn in (Turn.RUN, Turn.SILENT):  # otherwise Redis refuses it
            self.replies_off = True
        if hint is Hint.TRANSACTION:
            self.perhaps_in_transaction = True
        elif hint in (Hint.EXECUTED, Hint.DISCARDED, Hint.RESET):
            # A fence would have made EXEC fail. So silence that was queued is taken to be there: if that is wrong, MEM
            # commands miss their answers; the other way round, a fence would be waited for in vain.
            self.replies_off |= self._silence_queued and hint is Hint.EXECUTED
            self.perhaps_in_transaction = self._silence_queued = False

    def _may_be_another(self, frame: Forward) -> None:
        self.asked = False
        login = credentials_in(frame.words) if frame.words else None
        if frame.hint is Hint.PROTOCOL and frame.words is not None and login is None:
            return  # HELLO without AUTH: only the protocol
        self.user = None
        self._identified = False
        if frame.hint is Hint.RESET:
            self._login_doubtful = False
        elif frame.words is None or (login and (self.perhaps_in_transaction or not is_plain_login(frame.words))):
            self._login_doubtful = True
        if login is not None or frame.hint is Hint.RESET:
            others = (earlier for earlier in self._logins if earlier != login)
            self._logins = (login, *others)[:MAX_CANDIDATES]

    def need(self) -> Need | None:
        """Return what is to be asked before a MEM command; None: nothing, it may start (or be refused) now."""
        if not self.replies_off:  # otherwise no fence would come back
            need = self.need_before_silence()
            if need is not None:
                return need
        if self._identified or self.problem is not None:
            return None
        may_run = self.replies_off or self.turn in (Turn.RUN, Turn.SILENT)
        return Need.IDENTITY if may_run else None

    def need_before_silence(self) -> Need | None:
        """Return what is to be asked while fences still come back."""
        if self.turn is None:
            return Need.FENCE
        return Need.ASK if self.turn is Turn.RUN and not self.asked else None

    def fence_passed(self, fence: Fence, passed: Passed) -> None:
        """Take what a fence told."""
        self.turn = passed.turn
        self.perhaps_blocked = False
        self.refusal = passed.refusal
        if passed.turn is Turn.SILENT and not self._reply_skipped:
            self.turn = Turn.ANSWERED
        self._reply_skipped = False
        if passed.turn is Turn.IN_TRANSACTION:
            self._silence_queued = False  # its EXEC fails now
        else:
            self.perhaps_in_transaction = False
        if fence.asks:
            # A server without HELLO tells nothing: then the client's own HELLO failed too, and nothing has changed.
            self.protocol = passed.protocol or self.protocol
            # MEM commands may have run before it could be asked, as whom the client's newest good credentials name.
            self._identified = self._identified and passed.user == self.user
            self.user = passed.user
            self.asked = True

    def identified(self, problem: str | None, *, lasts: bool = False) -> None:
        """Note that MEM commands run as the client's user now, or the error line that says why they cannot.

        `lasts`: the answer would be the same until the client forwards something else.
        """
        self._identified = problem is None
        self.problem = problem
        self._problem_lasts = lasts

    def command_started(self) -> None:
        """Note that a MEM command has used its turn, where the turn was for one only, and taken its problem."""
        if not self._problem_lasts:
            self.problem = None
        if self.turn is Turn.RUN:
            return
        if self.turn is Turn.SILENT:
            self.turn = Turn.RUN
        elif self.turn is Turn.ANSWERED:
            self.turn = None

    @property
    def silent(self) -> bool:
        """Whether the next MEM command is not answered."""
        return self.replies_off or self.turn in (Turn.SILENT, Turn.ANSWERED)

    def refusal_for(self, name: str) -> str | None:
        """Return the error line for a MEM command that may not run in this state; None: it may."""
        if self.turn is Turn.RUN:
            return self.problem
        name = name.lower()
        if self.turn is Turn.REFUSED:
            return self.refusal.decode(errors="replace").replace("'echo'", f"'{name}'").removeprefix("-")
        if self.turn is Turn.IN_TRANSACTION:
            return f"ERR '{name}' cannot be part of a transaction; send it before MULTI or after EXEC"
        if self.turn is Turn.ANSWERED:
            return "ERR Redis has answered"  # for the metrics
        return self.problem
