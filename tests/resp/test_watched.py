"""What the words of a forwarded command hint at, and which credentials they hold."""

from __future__ import annotations

import pytest

from sidecar.commands.table import COMMANDS
from sidecar.resp.requests import Forward, RequestFramer
from sidecar.resp.watched import MAX_LOGIN_WORD_BYTES, Credentials, Hint, credentials_in, hint_of, is_plain_login
from tests.support.transcripts import command

HINTS: list[tuple[str, Hint | None]] = [
    ("AUTH p", Hint.LOGIN),
    ("auth u p", Hint.LOGIN),
    ("AUTH", Hint.LOGIN),
    ("HELLO", Hint.PROTOCOL),
    ("hello 3 AUTH u p", Hint.PROTOCOL),
    ("RESET", Hint.RESET),
    ("reset", Hint.RESET),
    ("RESET now", None),
    ("MULTI now", None),
    ("EXEC now", None),
    ("DISCARD now", None),
    ("MULTI", Hint.TRANSACTION),
    ("EXEC", Hint.EXECUTED),
    ("Discard", Hint.DISCARDED),
    ("COMMAND", Hint.DESCRIPTION),
    ("COMMAND DOCS get", Hint.DESCRIPTION),
    ("CLIENT REPLY OFF", Hint.REPLIES_OFF),
    ("client reply on", Hint.REPLIES_ON),
    ("CLIENT REPLY SKIP", Hint.REPLY_SKIPPED),
    ("CLIENT REPLY", None),
    ("CLIENT REPLY MAYBE", None),
    ("CLIENT REPLY OFF please", None),
    ("CLIENT SETNAME OFF", None),
    ("GET AUTH", None),
    ("ACL WHOAMI", None),
]


@pytest.mark.parametrize(("line", "hint"), HINTS)
def test_hints(line: str, hint: Hint | None) -> None:
    """A command hints at what it may change, in any case of letters, and at nothing where Redis must refuse it."""
    assert hint_of(line.encode().split()) is hint


def test_nothing_hints_at_nothing() -> None:
    """A blank inline line has no words."""
    assert hint_of([]) is None


@pytest.mark.parametrize(("line", "hint"), [pair for pair in HINTS if not pair[0].lower().startswith("client")])
def test_the_framer_agrees(line: str, hint: Hint | None) -> None:
    """The framer points out the same, whether a command comes inline or not, whole or byte by byte."""
    for data in (line.encode() + b"\r\n", command(line)):
        for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
            framer = RequestFramer(COMMANDS)
            frames = [frame for piece in pieces for frame in framer.receive(piece)]
            assert all(isinstance(frame, Forward) for frame in frames)
            hints = {frame.hint for frame in frames if isinstance(frame, Forward)} - {None}
            assert hints == ({hint} if hint is not None else set())


CREDENTIALS: list[tuple[list[bytes], Credentials | None]] = [
    ([b"AUTH", b"p"], Credentials(b"default", b"p")),
    ([b"auth", b"u", b"p"], Credentials(b"u", b"p")),
    ([b"AUTH", b""], Credentials(b"default", b"")),
    ([b"AUTH", b"u", b"\0\r\n"], Credentials(b"u", b"\0\r\n")),
    ([b"AUTH"], None),
    ([b"AUTH", b"u", b"p", b"q"], None),
    ([b"HELLO"], None),
    ([b"HELLO", b"3"], None),
    ([b"HELLO", b"3", b"AUTH", b"u", b"p"], Credentials(b"u", b"p")),
    ([b"hello", b"2", b"auth", b"u", b"p"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"SETNAME", b"n", b"AUTH", b"u", b"p"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"AUTH", b"u", b"p", b"SETNAME", b"n"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"AUTH", b"SETNAME", b"AUTH"], Credentials(b"SETNAME", b"AUTH")),
    ([b"HELLO", b"3", b"SETNAME", b"AUTH", b"AUTH", b"u", b"p"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"AUTH", b"u", b"p", b"AUTH", b"v", b"q"], Credentials(b"v", b"q")),
    ([b"HELLO", b"3", b"AUTH", b"u", b"p", b"BAD"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"AUTH", b"u", b"p", b"SETNAME"], Credentials(b"u", b"p")),
    ([b"HELLO", b"3", b"BAD", b"AUTH", b"u", b"p"], None),
    ([b"HELLO", b"3", b"AUTH", b"u"], None),
    ([b"HELLO", b"3", b"SETNAME", b"AUTH", b"u", b"p"], None),
    ([b"RESET"], None),
]


@pytest.mark.parametrize(("words", "credentials"), CREDENTIALS)
def test_credentials(words: list[bytes], credentials: Credentials | None) -> None:
    """The credentials are those that Redis would see, an AUTH before a syntax error included."""
    assert credentials_in(words) == credentials


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("AUTH p", True),
        ("auth u p", True),
        ("HELLO 3 AUTH u p", True),
        ("hello 2 auth u p", True),
        ("HELLO 3 AUTH u p SETNAME n", True),
        ("HELLO 3 SETNAME n AUTH u p", True),
        ("HELLO 9 AUTH u p", False),
        ("HELLO x AUTH u p", False),
        ("HELLO 3 AUTH u p NO", False),
        ("HELLO 3 AUTH u p SETNAME", False),
        ("HELLO 3 AUTH u p SETNAME n\x01", False),
        ("HELLO 3 AUTH u p AUTH v q", False),
        ("HELLO 3 AUTH u p NO thing", False),
        ("HELLO 3 SETNAME n AUTH SETNAME p", False),
        ("HELLO 3 AUTH u p SETNAME n SETNAME m", False),
    ],
)
def test_plain_logins(line: str, plain: bool) -> None:
    """A login is plain where only wrong credentials can make it fail."""
    assert is_plain_login(line.encode().split(b" ")) is plain


def test_no_password_is_shown() -> None:
    """The representation of credentials has the user and not the password."""
    assert repr(Credentials(b"u", b"geheim")) == "Credentials(user=b'u')"


@pytest.mark.parametrize("line", ["AUTH u {}", "HELLO 3 AUTH u {}"])
def test_a_login_that_is_too_long_is_not_looked_at(line: str) -> None:
    """A password over the limit goes on unseen with the hint; one at the limit is seen."""
    for excess in (0, 1):
        framer = RequestFramer(COMMANDS)
        frames = framer.receive(command(line.format("x" * (MAX_LOGIN_WORD_BYTES + excess))))
        (hinted,) = (frame for frame in frames if isinstance(frame, Forward) and frame.hint is not None)
        assert (hinted.words is None) is (excess == 1)
