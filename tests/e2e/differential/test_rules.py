"""What may differ, and that nothing else does: each rule on a reply that it is for, and on one that it is not."""

from __future__ import annotations

import pytest

from tests.e2e.differential.rules import NAMED, without_what_may_differ

LINE = b"id=%d addr=127.0.0.1:%d laddr=127.0.0.1:1 fd=8 name=%b age=%d idle=0 flags=%b db=0 redir=-1 user=default\n"


def client_list(*lines: bytes) -> bytes:
    text = b"".join(lines)
    return b"$%d\r\n%b\r\n" % (len(text), text)


MAY_DIFFER = [
    ("", client_list(LINE % (7, 50_000, b"x", 0, b"N")), client_list(LINE % (1234, 61, b"x", 12, b"N"))),
    ("", b"%1\r\n$2\r\nid\r\n:7\r\n", b"%1\r\n$2\r\nid\r\n:1234\r\n"),
    ("", b'+1700000000.123456 [0 127.0.0.1:1] "GET"\r\n', b'+1712345678.654321 [0 127.0.0.1:99] "GET"\r\n'),
    ("", b"+1700000000.123456 [3 lua] x\r\n", b"+1712345678.654321 [3 lua] x\r\n"),
    ("", b"$15\r\n1700000000000-0\r\n", b"$15\r\n1712345678901-1\r\n"),
    ("", b">2\r\n$21\r\ntracking-redir-broken\r\n:7\r\n", b">2\r\n$21\r\ntracking-redir-broken\r\n:1234\r\n"),
    (
        "own-clients",
        client_list(LINE % (1, 2, b"seq-a", 0, b"N")),
        client_list(LINE % (1, 2, b"memsidecar", 0, b"N"), LINE % (3, 4, b"seq-a", 0, b"N")),
    ),
    ("time", b"*2\r\n$10\r\n1700000000\r\n$1\r\n5\r\n", b"*2\r\n$10\r\n1700000001\r\n$6\r\n123456\r\n"),
    ("idle", b"*2\r\n$4\r\nidle\r\n:0\r\n", b"*2\r\n$4\r\nidle\r\n:15\r\n"),
    ("pending", b"*4\r\n$3\r\n1-0\r\n$3\r\nbob\r\n:0\r\n:1\r\n", b"*4\r\n$3\r\n1-0\r\n$3\r\nbob\r\n:99\r\n:1\r\n"),
    ("ms", b":99998\r\n", b":100000\r\n"),
    ("unix-time", b":1700000000\r\n", b":1700000001\r\n"),
    ("acl-log", b"$11\r\nage-seconds\r\n$5\r\n0.001\r\n", b"$11\r\nage-seconds\r\n$1\r\n0\r\n"),
]


@pytest.mark.parametrize(("name", "one", "other"), MAY_DIFFER)
def test_what_may_differ(name: str, one: bytes, other: bytes) -> None:
    """Ids, times and addresses are taken out of the replies that hold them."""
    names = (name,) if name else ()
    assert without_what_may_differ(one, names) == without_what_may_differ(other, names)


MAY_NOT = [
    ("", client_list(LINE % (7, 1, b"x", 0, b"N")), client_list(LINE % (7, 1, b"x", 0, b"P"))),
    ("", client_list(LINE % (7, 1, b"x", 0, b"N")), client_list(LINE % (7, 1, b"y", 0, b"N"))),
    ("", b":7\r\n", b":8\r\n"),
    ("", b"$4\r\nid=7\r\n", b"$4\r\nid=8\r\n"),
    ("", b'+1700000000.123456 [0 127.0.0.1:1] "GET"\r\n', b'+1700000000.123456 [1 127.0.0.1:1] "GET"\r\n'),
    ("", b"$3\r\n1-1\r\n", b"$3\r\n1-2\r\n"),
    ("ms", b":5\r\n", b":6\r\n"),
    ("idle", b"$7\r\npending\r\n:1\r\n", b"$7\r\npending\r\n:2\r\n"),
    ("time", b"*2\r\n$1\r\na\r\n$1\r\n5\r\n", b"*2\r\n$1\r\nb\r\n$1\r\n5\r\n"),
]


@pytest.mark.parametrize(("name", "one", "other"), MAY_NOT)
def test_what_may_not(name: str, one: bytes, other: bytes) -> None:
    """A rule leaves everything alone that is not what it is for."""
    names = (name,) if name else ()
    assert without_what_may_differ(one, names) != without_what_may_differ(other, names)


def test_every_named_rule_is_in_the_table() -> None:
    """No rule is without its proof."""
    assert {name for name, _, _ in MAY_DIFFER} - {""} == set(NAMED)
