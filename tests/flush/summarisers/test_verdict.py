"""What is a summary, and what only looks like an answer."""

from __future__ import annotations

import pytest

from sidecar.errors import SummaryRejected
from sidecar.flush.summarisers.verdict import REFUSAL_CHARS, accept, something_said
from sidecar.memory.stored_message import StoredMessage


def words(text: str) -> int:
    return len(text.split())


REJECTED = [
    ("", "empty"),
    (" \n\t ", "empty"),
    ("I'm sorry, but I can't help with that.", "refusal"),
    ("I\u2019m sorry, I can\u2019t assist with this request.", "refusal"),
    ("Sorry, I cannot do this.", "refusal"),
    ("Unfortunately, I am not able to summarise it.", "refusal"),
    ("I cannot assist with that request.", "refusal"),
    ("I am unable to provide a summary.", "refusal"),
    ("As an AI language model, I do not have access.", "refusal"),
    ('"I apologize, but no."', "refusal"),
    ("<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", "error"),
    ("\n<html>\n<head><title>504</title></head>", "error"),
    ("```html\n<html></html>\n```", "error"),
    ('<?xml version="1.0"?><Error/>', "error"),
    ('{"error": {"message": "overloaded"}}', "error"),
    ("word " * 31, "over-budget"),
]


@pytest.mark.parametrize(("text", "reason"), REJECTED)
def test_rejected(text: str, reason: str) -> None:
    """Nothing, a refusal, an error in place of an answer, and too much are no summaries, each for its reason."""
    with pytest.raises(SummaryRejected) as problem:
        accept(text, True, 30, words)
    assert problem.value.reason == reason
    assert text.strip() == "" or text.strip()[:20] not in str(problem.value)


@pytest.mark.parametrize(
    "text",
    [
        "user: Ann lives in Ghent",
        "The user cannot log in; error 403 since Monday. Unfortunately the router is old.",
        "assistant: I'm sorry, I can't find order 77.",
        "Ann apologised: she cannot come on Friday.",
        '{"name": "Ann", "city": "Ghent"}',
        "{not json, but said}",
        "The page begins with <html> and is valid.",
        "I can confirm that Ann lives in Ghent.",
    ],
)
def test_accepted(text: str) -> None:
    """A summary that tells of refusals, errors and pages is one all the same."""
    assert accept(text, True, 30, words) == words(text)


def test_a_long_text_is_no_refusal() -> None:
    """What begins politely and goes on with facts is accepted: it would be a pity about them."""
    text = "I'm sorry to say that Ann is ill. " + "She has 39 degrees. " * (REFUSAL_CHARS // 20)
    assert accept(text, True, 1_000, words) > 50


def test_the_budget_itself_is_within_it() -> None:
    """A summary may have every token of its budget."""
    assert accept("word " * 30, True, 30, words) == 30


def test_nothing_of_nothing() -> None:
    """Where nothing was said, an empty summary is right."""
    assert accept("", False, 30, words) == 0


def test_something_said() -> None:
    """Words of a message or of the earlier summary are something; a bare tool call is not."""
    call = StoredMessage("1-0", "assistant", " ", 5, '{"tool_calls":[]}')
    assert not something_said(" ", [call])
    assert something_said("Ann", [call])
    assert something_said("", [call, call._replace(content="42")])
