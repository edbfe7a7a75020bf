"""Where items and replies end; the kinds of replies are those of `test_pushes`."""

from __future__ import annotations

import pytest

from sidecar.resp.scan import end_of_reply, step
from tests.resp.test_pushes import REPLIES

STEPS: list[tuple[bytes, tuple[int, int] | None]] = [
    (b"+OK\r\n+", (5, 0)),
    (b"$3\r\na\r\n\r\n", (9, 0)),
    (b"$-1\r\n", (5, 0)),
    (b"*2\r\n:1\r\n", (4, 2)),
    (b"~3\r\n", (4, 3)),
    (b">1\r\n", (4, 1)),
    (b"%2\r\n", (4, 4)),
    (b"*-1\r\n", (5, 0)),
    (b"|1\r\n", (4, 3)),
    (b"", None),
    (b"+OK\r", None),
    (b"$3\r\nabc\r", None),
]


@pytest.mark.parametrize(("data", "expected"), STEPS)
def test_step(data: bytes, expected: tuple[int, int] | None) -> None:
    """A step ends behind a scalar or behind an aggregate's header, whose items it counts; wherever it begins."""
    assert step(data, 0) == expected
    assert step(bytearray(b"::" + data), 2) == (expected and (expected[0] + 2, expected[1]))


@pytest.mark.parametrize("name", REPLIES)
def test_end_of_reply(name: str) -> None:
    """A reply ends where its last item ends, whatever stands around it; one that is cut has no end yet."""
    reply = REPLIES[name]
    assert end_of_reply(reply) == len(reply)
    assert end_of_reply(b"+OK\r\n" + reply + reply, 5) == 5 + len(reply)
    assert [end_of_reply(reply[:cut]) for cut in range(len(reply))] == [None] * len(reply)


@pytest.mark.parametrize("data", [b"$x\r\n", b"*\r\n", b"%1.5\r\n"])
def test_a_length_that_is_no_number(data: bytes) -> None:
    """What is no length is an error, not a guess."""
    with pytest.raises(ValueError, match="invalid literal"):
        end_of_reply(data)
