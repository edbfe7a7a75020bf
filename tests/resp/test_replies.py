"""Replies: a table of values and bytes in both protocols, read back by hiredis."""

from __future__ import annotations

from collections.abc import Mapping

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.resp import replies
from sidecar.resp.replies import Value

TABLE: list[tuple[Value, bytes, bytes]] = [
    (None, b"$-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (-(2**63), b":-9223372036854775808\r\n", b":-9223372036854775808\r\n"),
    (0.25, b"$4\r\n0.25\r\n", b",0.25\r\n"),
    ("", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    ("é🦊", b"$6\r\n\xc3\xa9\xf0\x9f\xa6\x8a\r\n", b"$6\r\n\xc3\xa9\xf0\x9f\xa6\x8a\r\n"),
    (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    ([1, [None]], b"*2\r\n:1\r\n*1\r\n$-1\r\n", b"*2\r\n:1\r\n*1\r\n_\r\n"),
    ({}, b"*0\r\n", b"%0\r\n"),
    ({"a": {"b": True}}, b"*2\r\n$1\r\na\r\n*2\r\n$1\r\nb\r\n:1\r\n", b"%1\r\n$1\r\na\r\n%1\r\n$1\r\nb\r\n#t\r\n"),
]


@pytest.mark.parametrize(("value", "resp2", "resp3"), TABLE)
def test_encode(value: Value, resp2: bytes, resp3: bytes) -> None:
    """Each kind of value has its bytes in RESP2 and in RESP3."""
    assert replies.encode(value, 2) == resp2
    assert replies.encode(value, 3) == resp3


def test_error() -> None:
    """An error line becomes one error reply, in UTF-8."""
    assert replies.error("BADKEY no 'ü'") == b"-BADKEY no '\xc3\xbc'\r\n"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abc"), inner, max_size=4))
)


def as_read(value: Value, protocol: int) -> object:
    """Return what a client reads where `value` was written."""
    if isinstance(value, Mapping):
        pairs = {key: as_read(item, protocol) for key, item in value.items()}
        return pairs if protocol == 3 else [part for pair in pairs.items() for part in pair]
    if isinstance(value, list):
        return [as_read(item, protocol) for item in value]
    if protocol == 3 or value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else int(value) if isinstance(value, int) else value


@settings(deadline=None)
@given(VALUES, st.sampled_from([2, 3]))
def test_a_client_reads_what_was_written(value: Value, protocol: int) -> None:
    """hiredis reads every value back, with the types that the protocol has."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(replies.encode(value, protocol))
    assert reader.gets() == as_read(value, protocol)
    assert reader.gets() is False
