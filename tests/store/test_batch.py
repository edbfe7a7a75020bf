"""What goes into one script and comes back from it: which appends leave together, and who gets which words."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import OverBudget
from sidecar.memory.definition import Definition
from sidecar.memory.message import Message
from sidecar.memory.results import AppendResult
from sidecar.store.batch import (
    MAX_BATCH_CHARACTERS,
    MAX_BATCH_MESSAGES,
    NO_LIMIT,
    Append,
    Fixed,
    call,
    fixed,
    gather,
    over_budget,
    results,
)
from tests.store.live import memory

WHERE = memory()


def append(
    messages: int = 1,
    *,
    characters: int = 1,
    encoding: str = "words",
    token: str = "",
    idempotent: str | None = None,
    replace: bool = False,
) -> Append:
    texts = [Message("user", "x" * characters, "{}") for _ in range(messages)]
    return Append(WHERE, texts, [7] * messages, encoding, token, idempotent, replace, lambda _: None)


APPENDS = st.lists(
    st.builds(
        append,
        st.sampled_from([0, 1, 3, MAX_BATCH_MESSAGES // 2, MAX_BATCH_MESSAGES + 1]),
        encoding=st.sampled_from(["words", "words", "words", "letters"]),
        token=st.sampled_from(["", "", "t"]),
        idempotent=st.sampled_from([None, None, None, "x", "y"]),
        replace=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=12,
)


@given(waiting=APPENDS, alone=st.booleans())
def test_batches(waiting: list[Append], alone: bool) -> None:
    """Batches keep the order, lose nothing, and hold only what one script can store; each is as large as may be."""
    line: deque[Any] = deque(waiting)
    batches = []
    while line:
        batches.append(gather(line, alone=alone))
    assert [each for batch in batches for each in batch] == waiting
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        assert len({(each.encoding, each.token) for each in batch}) == 1
        names = [each.idempotent for each in batch if each.idempotent is not None]
        assert len(names) == len(set(names))
        assert len(batch) == 1 or not any(each.replace for each in batch)
        assert len(batch) == 1 or sum(len(each.messages) for each in batch) <= MAX_BATCH_MESSAGES
        if following is None:
            continue
        more = [*batch, following[0]]
        assert (
            alone
            or len({(each.encoding, each.token) for each in more}) > 1
            or any(each.replace for each in more)
            or (following[0].idempotent is not None and following[0].idempotent in names)
            or sum(len(each.messages) for each in more) > MAX_BATCH_MESSAGES
        )


def test_a_batch_has_a_most_of_text() -> None:
    """Texts and further fields count; what passes the bound begins the next batch, and one alone may be larger."""
    half = MAX_BATCH_CHARACTERS // 2 - 2  # each has "{}" as its fields
    line: deque[Any] = deque([append(characters=half), append(characters=half), append(0), append(characters=1)])
    assert [len(gather(line, alone=False)) for _ in range(2)] == [3, 1]
    line = deque([append(characters=2 * MAX_BATCH_CHARACTERS), append()])
    assert [len(gather(line, alone=False)) for _ in range(2)] == [1, 1]


def test_what_is_no_append_ends_a_batch() -> None:
    """A delete that waits in the line keeps its place among the appends."""
    line: deque[Any] = deque([append(), append(), "a delete", append()])
    assert len(gather(line, alone=False)) == 2
    assert line[0] == "a delete"


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (Definition(max_tokens=None), Fixed((0, -1, -1), "", "-1 -1 0 7", " 86400000")),
        (Definition(max_tokens=100, ttl_ms=5), Fixed((5, 80, -1), "", "-1 -1 0 7", " 86400000")),
        (
            Definition(max_tokens=100, max_messages=10, overflow="reject", idempotency_ttl_ms=3),
            Fixed((0, 80, 8), "100 10 0 0", "100 10 0 7", " 3"),
        ),
        (
            Definition(max_tokens=None, max_messages=10, overflow="trim", type="buffer"),
            Fixed((0, -1, -1), "-1 10 1 0", "-1 10 1 7", " 86400000"),
        ),
    ],
)
def test_what_a_definition_says(definition: Definition, expected: Fixed) -> None:
    """Limits are hard unless the overflow is allowed; what there is none of is NO_LIMIT."""
    assert fixed(definition) == expected


def test_keys_and_arguments() -> None:
    """The script's arguments, in the order of its header; one key more for each idempotency token."""
    batch = [
        Append(
            WHERE, [Message("user", "a", "{}"), Message("tool", "b")], [1, "2 !rules"], "words", "t", "x", False, print
        ),
        Append(WHERE, [], [], "words", "t", None, False, print),
    ]
    keys, arguments = call(batch, Fixed((5, 80, NO_LIMIT), "1 2 1 0", "1 2 1 7", " 3"), "op:a", 9)
    names = WHERE.keys
    assert keys == [names.log, names.meta, names.keep, names.due, names.lock, names.idem("x")]
    assert arguments == [
        *("op:a", 9, names.name, 5, 80, -1, "words", "t", "1 2 1 0", 2),
        *("2 3", "user", "a", 1, "{}", "tool", "b", "2 !rules", ""),
        0,
    ]  # fmt: skip


class TestResults:
    def test_each_gets_its_own(self) -> None:
        """Stored, nothing stored, refused, and the first reply to a token, in the order of the requests."""
        reply = "due 1 1-0 2-0 5 50 - - 5 50 over 5 50 again 3-0 3-0 1 7 70 none 4-0 4-0 6 51"
        batch = [append(2), append(0), append(3), append(9, idempotent="x"), append(1)]
        found = list(results(batch, reply.split()))
        assert isinstance(found.pop(2), OverBudget)
        assert found == [
            AppendResult("1-0", "2-0", 2, 5, 50, "due"),
            AppendResult(None, None, 0, 5, 50, "due"),
            AppendResult("3-0", "3-0", 1, 7, 70, "none", True),
            AppendResult("4-0", "4-0", 1, 6, 51, "due"),
        ]

    @pytest.mark.parametrize("words", ["none 0", "none 0 1-0", "none 0 again 1-0", "none 0 1-0 2-0 x y"])
    def test_what_is_no_reply_of_ours(self, words: str) -> None:
        """Words that are missing, or no numbers, raise; nobody is told that something was stored."""
        with pytest.raises((LookupError, ValueError)):
            list(results([append()], words.split()))


@pytest.mark.parametrize(
    ("definition", "limits", "advice"),
    [
        (Definition(max_tokens=100, overflow="reject"), "100 tokens and", "flush the memory"),
        (Definition(max_tokens=None, max_messages=9, overflow="reject"), "9 messages and", "flush the memory"),
        (Definition(max_tokens=100, max_messages=9, overflow="trim"), "100 tokens and 9 messages and", "leave no room"),
    ],
)
def test_the_error_of_a_hard_limit(definition: Definition, limits: str, advice: str) -> None:
    """It tells the limits that there are, what is held, what was to come, classes or not, and what to do."""
    refused = Append(memory(definition), [Message("user", "a")] * 2, [3, "4 !rules"], "words", "", None, False, print)
    text = over_budget(refused, 5, 97).reply()
    assert text.startswith(
        f"OVERBUDGET the memory may hold {limits} holds 97 tokens in 5 messages; 2 more with 7 tokens"
    )
    assert advice in text
