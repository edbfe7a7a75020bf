"""TRACEPARENT: where it stands, and what its value may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands import traceparent
from sidecar.commands.table import COMMANDS
from sidecar.errors import SyntaxProblem
from tests.commands.asking import refused

VALUE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_which_commands_take_it() -> None:
    """All that have a key, and it is the first of their options."""
    takers = {name.decode(): row.trace_at for name, row in COMMANDS.items() if row.trace_at >= 0}
    assert takers == {row.name: len(row.keys) for row in COMMANDS.values() if row.keys}
    assert takers["MEMFORK"] == 2
    for name, at in takers.items():
        row = COMMANDS[name.encode()]
        assert row.arguments[at].token == "TRACEPARENT"
        assert row.arguments[at].optional
        assert row.arity < 0


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("option", [b"TRACEPARENT", b"traceparent", b"TraceParent"])
def test_where_it_stands(option: bytes, at: int) -> None:
    """At its place, in any case of letters, and nowhere else."""
    keys = [b"key"] * at
    assert traceparent.stands([*keys, option, VALUE.encode(), b"rest"], at)
    assert traceparent.take([*keys, option, VALUE.encode(), b"rest"], at) == (VALUE, [*keys, b"rest"])
    assert not traceparent.stands([*keys, b"user", option], at)
    assert not traceparent.stands(keys, at)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255), st.integers(0, 254))
def test_every_value_of_the_format(trace: int, parent: int, flags: int, version: int) -> None:
    """A later version may have more behind these fields, which are read as they are in version 00."""
    value = f"{version:02x}-{trace:032x}-{parent:016x}-{flags:02x}"
    for more in ("", "-what-is-new") if version else ("",):
        assert traceparent.take([b"k", b"", f"{value}{more}".encode()], 1) == (value, [b"k"])


WRONG = [
    "",
    "hello",
    VALUE.upper(),
    VALUE[:-1],
    f"{VALUE}0",
    f"{VALUE}-more",
    VALUE.replace("00-4b", "ff-4b"),
    VALUE.replace("00-4b", "cc-4b") + "more",
    f"00-{'0' * 32}-00f067aa0ba902b7-01",
    f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    VALUE.replace("-", "_"),
    f"{VALUE}\n",
]


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_value(value: str) -> None:
    """The error says what is expected."""
    with pytest.raises(SyntaxProblem, match=r"such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, not"):
        traceparent.take([b"k", b"TRACEPARENT", value.encode()], 1)


def test_no_value() -> None:
    with pytest.raises(SyntaxProblem, match=r"^TRACEPARENT expects a value after it$"):
        traceparent.take([b"k", b"TRACEPARENT"], 1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MEMREAD", ("k", "TOKENS", "5", "TRACEPARENT", VALUE)),
        ("MEMFLUSH", ("k", "FORCE", "traceparent", VALUE)),
        ("MEMLOCK", ("k", "1000", "TRACEPARENT", VALUE)),
        ("MEMAPPEND", ("k", "LOCK", "t", "TRACEPARENT", VALUE, "user", "hi")),
    ],
)
def test_in_the_wrong_place(name: str, arguments: tuple[str, ...]) -> None:
    """Behind other options it is none, and the error says where it belongs."""
    assert "TRACEPARENT stands directly behind the key" in refused(name, *arguments)
