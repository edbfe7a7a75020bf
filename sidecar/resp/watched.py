"""The forwarded commands that the framer points out, because they may change what a connection is.

Only hints: Redis may refuse any of these, or run it later, inside EXEC. What came of them is told by a fence. This
module knows the words of the commands, and not what follows from them; that is the session's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

MAX_LOGIN_WORD_BYTES = 16 * 1024
"""Longest user name or password that is looked at. Redis takes no longer words from whoever has not logged in."""

MAX_REPLY_WORD_BYTES = 64
"""CLIENT is held back only while its words are this short, which those of CLIENT REPLY are."""

MAX_DESCRIBED_NAMES = 1_024
"""Most words of a COMMAND that is answered with our commands in it; Redis itself has a few hundred commands."""


class Hint(Enum):
    """What forwarded bytes may have changed about the connection, or what they ask for."""

    PROTOCOL = auto()  # HELLO, perhaps with AUTH in it
    LOGIN = auto()
    RESET = auto()
    TRANSACTION = auto()  # MULTI
    EXECUTED = auto()  # EXEC
    DISCARDED = auto()  # DISCARD
    REPLIES_OFF = auto()
    REPLIES_ON = auto()
    REPLY_SKIPPED = auto()
    DESCRIPTION = auto()  # COMMAND: Redis's answer lacks our commands


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client logged in with. They live in memory only; no log and no error text may show them."""

    user: bytes
    password: bytes = field(repr=False)


class HeldWhole(NamedTuple):
    """How much of a command is held back until it is whole, because its words matter."""

    words: int
    word_bytes: int


HELD_NAMES = {
    b"CLIENT": HeldWhole(3, MAX_REPLY_WORD_BYTES),
    b"AUTH": HeldWhole(3, MAX_LOGIN_WORD_BYTES),
    b"HELLO": HeldWhole(16, MAX_LOGIN_WORD_BYTES),
    b"COMMAND": HeldWhole(MAX_DESCRIBED_NAMES, MAX_REPLY_WORD_BYTES),
}
"""What is larger goes on to Redis unseen, with the hint that its name gives."""

NAME_HINTS = {
    b"HELLO": Hint.PROTOCOL,
    b"AUTH": Hint.LOGIN,
    b"RESET": Hint.RESET,
    b"MULTI": Hint.TRANSACTION,
    b"EXEC": Hint.EXECUTED,
    b"DISCARD": Hint.DISCARDED,
    b"COMMAND": Hint.DESCRIPTION,
}

REPLICATION_NAMES = frozenset({b"SYNC", b"PSYNC"})
"""After them the connection is a replica's, and what it sends are no requests."""

WATCHED_NAMES = HELD_NAMES.keys() | NAME_HINTS.keys() | REPLICATION_NAMES

_REPLY_HINTS = {b"OFF": Hint.REPLIES_OFF, b"ON": Hint.REPLIES_ON, b"SKIP": Hint.REPLY_SKIPPED}


def hint_of(words: list[bytes]) -> Hint | None:
    """Return what a whole request hints at."""
    name = words[0].upper() if words else b""
    if name == b"CLIENT":
        return _REPLY_HINTS.get(words[2].upper()) if len(words) == 3 and words[1].upper() == b"REPLY" else None
    return NAME_HINTS.get(name)


def credentials_in(words: list[bytes]) -> Credentials | None:
    """Return the credentials in an AUTH or HELLO; None where Redis would see none."""
    name = words[0].upper()
    if name == b"AUTH" and len(words) in (2, 3):
        return Credentials(words[1] if len(words) == 3 else b"default", words[-1])
    if name != b"HELLO":
        return None
    found = None
    rest = words[2:]
    while rest:
        option = rest[0].upper()
        if option == b"AUTH" and len(rest) >= 3:
            found, rest = Credentials(rest[1], rest[2]), rest[3:]
        elif option == b"SETNAME" and len(rest) >= 2:
            rest = rest[2:]
        else:
            return None  # a syntax error, so nothing of it is done
    return found
