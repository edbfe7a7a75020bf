"""The messages that are appended."""

from __future__ import annotations

from benchmarks.conversation import MESSAGE_BYTES, messages


def test_messages_are_texts_of_one_size_without_line_breaks() -> None:
    """Every message has 250 bytes, so figures compare, and no line break, so replies can be counted by lines."""
    texts = messages(500)
    assert {len(text.encode()) for text in texts} == {MESSAGE_BYTES}
    assert not any("\n" in text or "\r" in text for text in texts)


def test_messages_differ() -> None:
    """No message comes twice, and they have many more words than a tokenizer meets in one of them."""
    texts = messages(2_000)
    assert len(set(texts)) == 2_000
    assert len({word for text in texts for word in text.split()}) > 5_000


def test_every_run_gets_the_same_messages() -> None:
    """What is appended does not change from run to run."""
    assert messages.__wrapped__(50) == messages.__wrapped__(50)
    assert messages(50) == messages(100)[:50]
