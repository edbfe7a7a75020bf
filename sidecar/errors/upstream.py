"""Trouble with the Redis behind the sidecar, and Redis's own errors."""

from __future__ import annotations

import re

from sidecar.errors.root import ReplyableError


class UpstreamError(ReplyableError):
    """Redis refused, or cannot be reached."""


_IN_SCRIPT = re.compile(r"ERR Error running script .*?@user_script: ?\d+: -?(?=[A-Z]+ )")
"""What Redis 6.2 puts in front of an error that a command inside a script met; Redis 7 puts it behind."""


_NOT_IN_SCRIPT = ("The user executing the script can't ", "ACL failure in script: ")
"""What Redis, before 7.2 and since, says, behind `ERR`, when the user may run scripts and not what they do."""

_RIGHTS = (
    "NOPERM this user may not run a command, or touch a key, that memories need; "
    "grant +@read +@write +@scripting +@connection +time on the keys of its memories"
)


_QUOTES_NOTHING = re.compile(
    r"(?:BUSY|CLUSTERDOWN|DENIED|EXECABORT|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOREPLICAS|NOSCRIPT|OOM|READONLY|WRONGPASS"
    r"|WRONGTYPE|ERR max number of clients|ERR AUTH <password> called|ERR DB index|ERR invalid DB index)\b"
)
"""How Redis's errors begin that quote no user, no key and no argument of a command."""


def _unquoting(line: str) -> str:
    """Return what of an error of Redis quotes nothing: all, our own words for a missing right, or the first word."""
    if line.startswith("NOPERM"):
        return _RIGHTS
    if _QUOTES_NOTHING.match(line):
        return line
    word = line.partition(" ")[0]
    return word if re.fullmatch("[A-Z]{2,20}", word) else "an error"


class RedisRefused(UpstreamError):
    """Redis answered an error; it goes to the client as it is, its own first word (OOM, READONLY …) first.

    One is put in other words: inside a script a missing right is a plain `ERR`, and NOPERM everywhere else.
    """

    def __init__(self, line: str) -> None:
        self.line = _RIGHTS if any(sign in line for sign in _NOT_IN_SCRIPT) else _IN_SCRIPT.sub("", line)
        super().__init__(self.line)
        self.clients_fault = self.line.partition(" ")[0] in ("NOPERM", "NOAUTH", "WRONGPASS")
        self._logged = _unquoting(self.line)

    def reply(self, request: str = "") -> str:
        """Return Redis's line, and nothing but that."""
        return self.line.replace("\r", " ").replace("\n", " ")


class NotIdentified(UpstreamError):
    """The client is a user whose password it did not show us, so MEM commands cannot run as this user."""

    prefix = "NOAUTH"

    def __init__(self, user: bytes | None) -> None:
        who = f"user '{user.decode(errors='replace')}'" if user is not None else "this connection's user"
        super().__init__(f"memsidecar has seen no password that lets it act as {who}; send AUTH again")
        self._logged = self.prefix


class TooManyIdentities(UpstreamError):
    """Every user has a connection to Redis of its own, and their number is bounded."""

    clients_fault = False

    def __init__(self, most: int) -> None:
        super().__init__(
            f"memsidecar serves at most {most} Redis users at a time; "
            "wait until others have disconnected, or run another sidecar"
        )


class Unavailable(UpstreamError):
    """Nothing was sent, so the command can be sent again without a second thought.

    Args:
        why: in our words, the system's, or Redis's.
        logged: what of that a log may show; None: all of it.
    """

    prefix = "UNAVAILABLE"
    clients_fault = False

    def __init__(self, why: str, logged: str | None = None) -> None:
        super().__init__(f"Redis cannot be reached ({why}); nothing was sent, safe to retry")
        self._logged = f"Redis cannot be reached ({why if logged is None else logged})"


class WaitEnded(UpstreamError):
    """Or a wait for a lock was ended: the client sends nothing more, or memsidecar stops. The lock is not held."""

    prefix = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the wait for the lock was ended, as its client has gone or memsidecar stops; safe to retry")


class Uncertain(UpstreamError):
    """The command was sent and the connection broke before its reply came.

    Args:
        why, logged: as those of `Unavailable`.
    """

    prefix = "UNCERTAIN"
    clients_fault = False

    def __init__(self, why: str, logged: str | None = None) -> None:
        super().__init__(
            f"Redis went away after the command was sent ({why}); whether it was executed is not known, "
            "read the memory before sending it again; an append with IDEMPOTENT may be sent again as it is"
        )
        self._logged = f"Redis went away after a command was sent ({why if logged is None else logged})"
