"""Tells what a sentence is worth in a summary: which facts it holds, and what else speaks for it.

The counterpart is `sidecar.flush.extractive`, which weighs sentences against each other and against the
budget. Facts are found by their form alone (digits, capitals, technical names, dates). Nothing here looks at
costs, speakers or budgets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log2
from typing import NamedTuple

from sidecar.flush.cues import (
    APOSTROPHE,
    CJK,
    COURTESIES,
    CURRENCIES,
    DATES,
    DECISIONS,
    EDGES,
    INTENTS,
    QUESTION_MARKS,
    STOP_WORDS,
)

IDENTIFIER, AMOUNT, DATE, NAME, NUMBER = 2.0, 1.5, 1.2, 1.0, 0.7
"""Weights of facts. An order number cannot be guessed from its surroundings; a small number says little."""

MOST_AMOUNT_DIGITS = 6
"""A number with more digits is rather a number of something: an account, a phone, a case."""

TERM = 0.12
"""Weight of an ordinary word, per doubling of the number of turns that use it."""

MAX_DOUBLINGS = 4.0
"""A word in 16 turns is a topic; one in a thousand is grammar, and not worth more."""

DECISION, INTENT, MAX_DECISION = 1.6, 0.6, 2.6
"""Bonus per word that decides or commits, per word that plans or explains, and for all of them together."""

QUESTION = 0.5
"""Bonus for a question: it says what the conversation is about."""

COURTESY_WORDS = 14
"""A sentence up to this long of nothing but courtesies is one; a longer one may mean something."""

_LATIN_IN_CJK = re.compile(r"[0-9A-Za-z$€£¥#][0-9A-Za-z.,:/%#_-]*")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}(?:\1\d{1,4})?|\d{1,2}:\d{2}(?::\d{2})?")
_MEASURE = re.compile(r"\d[\d.,]*[a-zA-Z]{1,3}")  # 12th, 5pm, 1.5Gi
_WORD = re.compile(r"[^\W\d_]{3,}")
_NO_TOPICS = STOP_WORDS | DECISIONS | INTENTS  # what the bonus pays for is not paid twice
_FIRST_PERSON = frozenset(["i", "i'm", "i'd", "i'll", "i've"])


class Salience(NamedTuple):
    """What one sentence brings.

    Args:
        facts: weight of each fact and word in it; a summary gains each of them once.
        total: sum of `facts`.
        bonus: for what does not lie in single words: decisions, questions.
        courtesy: whether it says nothing else.
    """

    facts: dict[str, float]
    total: float
    bonus: float
    courtesy: bool


class _Read(NamedTuple):
    facts: dict[str, float]
    opening: str  # the first word, if it is capitalised
    terms: dict[str, None]
    bonus: float
    courtesy: bool


def rate(sentences: Sequence[str], turns: Sequence[int]) -> list[Salience]:
    """Rate sentences against the whole text that they come from.

    Args:
        sentences: all of the text.
        turns: the number of the turn that each sentence belongs to; a word counts once per turn.
    """
    reads = [_read(sentence) for sentence in sentences]
    names = {fact for read in reads for fact in read.facts}
    seen = {(turn, term) for turn, read in zip(turns, reads, strict=True) for term in read.terms}
    spread = Counter(term for _, term in seen)
    rated = []
    for read in reads:
        facts = dict(read.facts)
        for term in read.terms:
            facts.setdefault(term, TERM * min(log2(1 + spread[term]), MAX_DOUBLINGS))
        # A capital at the beginning of a sentence means a name only if the word is one elsewhere.
        if read.opening in names:
            facts[read.opening] = max(NAME, read.facts.get(read.opening, 0.0))
        rated.append(Salience(facts, sum(facts.values()), read.bonus, read.courtesy))
    return rated


def _read(sentence: str) -> _Read:
    words = [word.strip(EDGES) for word in sentence.split()]
    plain = [word.casefold().replace(APOSTROPHE, "'") for word in words]
    if len(words) <= COURTESY_WORDS and COURTESIES.issuperset(filter(None, plain)):
        return _Read({}, "", {}, 0.0, courtesy=any(plain))
    facts: dict[str, float] = {}
    shouted = sentence.isupper()
    for number, (word, key) in enumerate(zip(words, plain, strict=True)):
        if not CJK.search(word):
            _add(facts, word, key, may_be_name=number > 0 and not shouted)
            continue
        for found in _LATIN_IN_CJK.findall(word):
            _add(facts, found, found.casefold(), may_be_name=True)
    decided = DECISION * len(DECISIONS.intersection(plain)) + INTENT * len(INTENTS.intersection(plain))
    asked = QUESTION if sentence.endswith(QUESTION_MARKS) else 0.0
    opening = _base(plain[0]) if words and words[0][:1].isupper() else ""
    return _Read(facts, opening, _terms(sentence), min(decided, MAX_DECISION) + asked, courtesy=False)


def _add(facts: dict[str, float], word: str, key: str, *, may_be_name: bool) -> None:
    """Add a word to `facts` if its form shows that it is one."""
    weight = 0.0
    if any(map(str.isdigit, word)):
        weight = _numeric(word)
    elif any(mark in word[1:-1] for mark in "_@/.\\"):
        weight = IDENTIFIER
    elif key in DATES:
        weight = DATE
    elif may_be_name and any(map(str.isupper, word)) and key not in _FIRST_PERSON:
        weight = NAME
    if weight:
        facts[_base(key)] = weight


def _numeric(word: str) -> float:
    if _MEASURE.fullmatch(word):
        return NUMBER
    if any(map(str.isalpha, word)) or "#" in word:
        return IDENTIFIER
    if "%" in word or any(mark in word for mark in CURRENCIES):
        return AMOUNT
    if _DATE.fullmatch(word):
        return DATE
    digits = sum(map(str.isdigit, word))
    return IDENTIFIER if digits > MOST_AMOUNT_DIGITS else AMOUNT if digits > 2 else NUMBER


def _base(key: str) -> str:
    return key.removesuffix("'s")


def _terms(sentence: str) -> dict[str, None]:
    """Return the ordinary words, in the order of the text: sums of floats depend on their order."""
    found = _WORD.findall(sentence.casefold())
    terms = dict.fromkeys(term for term in found if term not in _NO_TOPICS and not CJK.match(term))
    for run in CJK.findall(sentence):  # there are no spaces, so pairs of characters stand for words
        terms.update(dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1)))
    return terms
