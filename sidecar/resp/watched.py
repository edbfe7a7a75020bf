"""The forwarded commands that the framer points out, because they may change what a connection is.

Only hints: Redis may refuse any of these, or run it later, inside EXEC. What came of them is told by a fence. This
module knows the words of the commands, and not what follows from them; that is the session's business.
"""

from __future__ import annotations

import re
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
    BLOCKS = auto()  # BLPOP and others that may wait
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

_BLOCKING_NAMES = b"BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP XREAD XREADGROUP WAIT WAITAOF".split()

NAME_HINTS = {
    b"HELLO": Hint.PROTOCOL,
    b"AUTH": Hint.LOGIN,
    b"RESET": Hint.RESET,
    b"MULTI": Hint.TRANSACTION,
    b"EXEC": Hint.EXECUTED,
    b"DISCARD": Hint.DISCARDED,
    b"COMMAND": Hint.DESCRIPTION,
    **dict.fromkeys(_BLOCKING_NAMES, Hint.BLOCKS),
}

REPLICATION_NAMES = frozenset({b"SYNC", b"PSYNC"})
"""After them the connection is a replica's, and what it sends are no requests."""

WATCHED_NAMES = HELD_NAMES.keys() | NAME_HINTS.keys() | REPLICATION_NAMES

_ALONE = {Hint.RESET, Hint.TRANSACTION, Hint.EXECUTED, Hint.DISCARDED}
"""Hints of commands that Redis refuses, and does nothing of, where words stand behind their names."""

_CLIENT_NAME = re.compile(rb"[!-~]*")

_REPLY_HINTS = {b"OFF": Hint.REPLIES_OFF, b"ON": Hint.REPLIES_ON, b"SKIP": Hint.REPLY_SKIPPED}


def hint_of_name(name: bytes, count: int) -> Hint | None:
    """Return what a request of `count` words hints at by its upper-case name."""
    hint = NAME_HINTS.get(name)
    return None if hint in _ALONE and count != 1 else hint


def hint_of(words: list[bytes]) -> Hint | None:
    """Return what a whole request hints at."""
    name = words[0].upper() if words else b""
    if name == b"CLIENT":
        return _REPLY_HINTS.get(words[2].upper()) if len(words) == 3 and words[1].upper() == b"REPLY" else None
    return hint_of_name(name, len(words))


def credentials_in(words: list[bytes]) -> Credentials | None:
    """Return the credentials in an AUTH or HELLO; None where Redis would see none.

    Behind the AUTH of a HELLO may stand what Redis takes for a syntax error: before 7.2 it has logged in by then.
    """
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
            break
    return found


def is_plain_login(words: list[bytes]) -> bool:
    """Whether an AUTH or HELLO with credentials does nothing but log in, so that it fails only where they are no good.

    Another HELLO may be refused with good ones; a new one that we do not know counts as such.
    """
    if words[0].upper() == b"AUTH":
        return True
    options = words[2:]
    if len(options) == 5:
        at = 3 if options[3].upper() == b"SETNAME" else 0
        if options[at].upper() != b"SETNAME" or not _CLIENT_NAME.fullmatch(options[at + 1]):
            return False
        del options[at : at + 2]
    return words[1] in (b"2", b"3") and len(options) == 3 and options[0].upper() == b"AUTH"
