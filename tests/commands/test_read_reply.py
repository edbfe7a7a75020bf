"""The short way to a read's reply and the long one lead to the same bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.commands.read_reply import encode, fields
from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage
from sidecar.resp import replies

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["$8\r\nmessages\r\n*0\r\n", "\r\n", "é🦊"]
)
FIELDS = st.dictionaries(TEXTS, st.none() | TEXTS | st.lists(st.integers()), max_size=3).map(json.dumps)
MESSAGES = st.lists(
    st.builds(StoredMessage, st.just("1-0"), TEXTS, TEXTS, st.integers(0, 2**53), st.none() | FIELDS), max_size=4
)
RESULTS = st.builds(
    ReadResult, st.none() | TEXTS, st.just(5), MESSAGES, st.integers(0), st.integers(0), st.booleans(), st.integers(0)
)


@given(RESULTS, st.sampled_from([2, 3]))
def test_both_ways(result: ReadResult, protocol: int) -> None:
    """Whatever texts there are, line ends and names of our own fields too, the reply is that of the map."""
    assert encode(result, protocol) == replies.encode(fields(result), protocol)


@pytest.mark.parametrize("protocol", [2, 3])
def test_once_for_all(protocol: int) -> None:
    """Of one result the reply is written once in each protocol, however many clients get it."""
    result = ReadResult(None, 0, [StoredMessage("1-0", "user", "hi", 1)], 1, 1, more=False, left_out=0)
    assert encode(result, protocol) is encode(result, protocol)
    assert list(result.written) == [protocol]
