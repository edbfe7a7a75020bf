"""Facts: what counts as one, and what a sentence gains by decisions and questions."""

# ruff: noqa: RUF001 - typographic and full-width marks are part of what is tested
from __future__ import annotations

import pytest

from sidecar.flush.salience import (
    AMOUNT,
    DATE,
    DECISION,
    IDENTIFIER,
    INTENT,
    MAX_DECISION,
    NAME,
    NUMBER,
    QUESTION,
    TERM,
    rate,
)


def strong(sentence: str) -> dict[str, float]:
    """Return the facts of a sentence that stands alone, without its ordinary words."""
    (rated,) = rate([sentence], [0])
    return {fact: weight for fact, weight in rated.facts.items() if weight > TERM}


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("it is order NL-20491-B.", {"nl-20491-b": IDENTIFIER}),
        ("see #4711 and 3SXK77120934", {"#4711": IDENTIFIER, "3sxk77120934": IDENTIFIER}),
        ("call 06-2214-8890 or 5501234", {"06-2214-8890": IDENTIFIER, "5501234": IDENTIFIER}),
        ("in app/config.py by ann@example.org", {"app/config.py": IDENTIFIER, "ann@example.org": IDENTIFIER}),
        ("it costs $25, (€9.95) or 4,800 less 15%", {"$25": AMOUNT, "€9.95": AMOUNT, "4,800": AMOUNT, "15%": AMOUNT}),
        ("on 9 June or 2025-05-19 at 14:30", {"9": NUMBER, "june": DATE, "2025-05-19": DATE, "14:30": DATE}),
        ("before the 12th, in 5h", {"12th": NUMBER, "5h": NUMBER}),
        ("ask “Priya” or Ines’s team in Lisbon", {"priya": NAME, "ines": NAME, "lisbon": NAME}),
        ("the API of an iPhone", {"api": NAME, "iphone": NAME}),
        ("Tomorrow I’ll go, I'm sure", {"tomorrow": DATE}),
        ("Please wait for the parcel", {}),
        ("PLEASE WAIT FOR THE PARCEL", {}),
        ("订单号是NL-20491，价格129欧元", {"nl-20491": IDENTIFIER, "129": AMOUNT}),
    ],
)
def test_facts_are_found_by_their_form(sentence: str, facts: dict[str, float]) -> None:
    """Identifiers, amounts, dates, names and numbers are told apart by what they look like."""
    assert strong(sentence) == facts


def test_a_name_that_opens_a_sentence() -> None:
    """A capital at the beginning of a sentence makes a name only if the word is one elsewhere."""
    priya, parcels, _ = rate(["Priya wrote it", "Parcels are late", "I asked Priya"], [0, 1, 2])
    assert priya.facts["priya"] == NAME
    assert parcels.facts["parcels"] == TERM


def test_words_gain_by_the_turns_that_use_them() -> None:
    """A word weighs more the more turns use it, up to a limit; twice in one turn counts once."""
    alone, same, twice = (
        rate(["the grinder", "a grinder"], turns)[0].facts["grinder"] for turns in ([0, 0], [0, 0], [0, 1])
    )
    many, more = (rate(["grinder"] * turns, range(turns))[0].facts["grinder"] for turns in (100, 1_000))
    assert alone == same == TERM < twice < many == more


def test_words_without_spaces_are_pairs_of_characters() -> None:
    """In Chinese and Japanese, pairs of characters stand for words."""
    (rated,) = rate(["咖啡机。"], [0])
    assert set(rated.facts) == {"咖啡", "啡机"}


@pytest.mark.parametrize(
    ("sentence", "bonus"),
    [
        ("the weather there was mild", 0.0),
        ("we agreed on the black grinder", DECISION),
        ("I want the black grinder", INTENT),
        ("which grinder was it?", QUESTION),
        ("什么时候到？", QUESTION),
        ("it was decided, agreed and confirmed by the board", MAX_DECISION),
    ],
)
def test_bonus(sentence: str, bonus: float) -> None:
    """Decisions, intentions and questions earn a bonus, and decisions together not more than a limit."""
    (rated,) = rate([sentence], [0])
    assert rated.bonus == bonus


@pytest.mark.parametrize(
    ("sentence", "courtesy"),
    [
        ("Hi there!", True),
        ("You’re welcome, have a lovely day!", True),
        ("Is there anything else I can help you with today?", True),
        ("Hi, it is order 7", False),
        ("no rental car", False),
        ("👍", False),
        ("ok " * 20, False),
    ],
)
def test_courtesies(sentence: str, courtesy: bool) -> None:
    """A short sentence of nothing but greetings and thanks is a courtesy, and nothing that says more."""
    (rated,) = rate([sentence], [0])
    assert rated.courtesy is courtesy
