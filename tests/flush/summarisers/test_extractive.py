"""Where summaries are made: small ones here, large ones in a thread."""

from __future__ import annotations

import threading

import pytest

from sidecar.flush.extractive import summarise
from sidecar.flush.summarisers.extractive import INLINE_CHARS, INLINE_MESSAGES, ExtractiveSummariser
from sidecar.memory.ports import Summariser
from sidecar.memory.stored_message import StoredMessage
from tests.flush.conversations import PARCEL, said


def words(text: str) -> int:
    return len(text.split())


async def threads_of(summariser: Summariser, earlier: str, messages: list[StoredMessage]) -> set[int]:
    """Return the threads in which a summary is made, seen from its count function."""
    threads = set()

    def count(text: str) -> int:
        threads.add(threading.get_ident())
        return words(text)

    assert await summariser.summarise(earlier, messages, 50, count) == summarise(earlier, messages, 50, words)
    return threads


@pytest.mark.parametrize(
    ("earlier", "messages", "inline"),
    [
        ("user: Ann lives in Ghent", [said("user", "Send it on Friday.")], True),
        ("", [said("user", "word " * (INLINE_CHARS // 5))], True),
        ("", [said("user", "word " * (INLINE_CHARS // 5 + 1))], False),
        ("word " * (INLINE_CHARS // 5 + 1), [], False),
        ("", [said("user", "", 1, {"content": [{"type": "text", "text": "word " * INLINE_CHARS}]})], False),
        ("", [said("user", f"Number {number}.") for number in range(INLINE_MESSAGES + 1)], False),
        ("", PARCEL.messages, False),
    ],
)
async def test_much_text_goes_to_a_thread(earlier: str, messages: list[StoredMessage], inline: bool) -> None:
    """What takes more than a few milliseconds does not hold up the event loop; the summary is the same."""
    threads = await threads_of(ExtractiveSummariser(), earlier, messages)
    assert threads
    assert (threads == {threading.get_ident()}) is inline
    assert inline or threading.get_ident() not in threads
