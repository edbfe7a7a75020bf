"""Marks and words by which the extractive summariser finds sentences, facts and decisions.

The counterparts are `sidecar.flush.sentences` and `sidecar.flush.salience`. Marks cover the common scripts;
the words are English. In other languages a summary does without their help: facts are found by their form.
"""

# ruff: noqa: RUF001 - full-width and other marks that look alike are what this file lists
from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTION_MARKS = ("?", "？", "؟")

SENTENCE_MARKS = frozenset(".!?…。！？｡؟۔।")
"""After one of these a sentence has ended; joined to the next one it needs no further mark."""

SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+\s   # counts only before a space: 3.14, example.org
      | [。！？｡]++["'”’』」）]*+\s?          # no space is written after these
      | [؟۔।]\s
      | ;\s | ；                            # clauses; a summary joins sentences with it
    """,
    re.VERBOSE,
)
"""Each branch starts at the first mark of a run and gives nothing back, so that matching is linear."""

EDGES = " \t.,;:!?…\"'`()[]{}<>*_~|“”‘’«»„。，、！？；：（）「」『』؟۔।"
"""What surrounds a word without being part of it."""

CURRENCIES = "$€£¥₹₩₽฿₺"

APOSTROPHE = "’"
"""The typographic one, which is read as the plain one."""

CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
"""Scripts without spaces, or in which a word holds no Latin letters."""

ABBREVIATIONS = _words(
    """approx bzw ca cf co corp dept dr e.g ed eg est etc fig i.e ie inc jr ltd max min mr mrs ms mt nr no
    p.m a.m prof resp sr st tel usw vs z.b"""
)
"""A full stop after one of these ends no sentence."""

ANSWER = re.compile(
    r"""(?:yes|yep|yeah|yup|no|nope|ok|okay|sure|agreed|correct|exactly|right|perfect|please|fine|deal
        |go\ ahead|do\ it|do\ that|sounds\ good|that\ works|ja|nein|oui|non|sí|si|はい|是|好)\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""How a short answer begins. It means nothing without its question."""

DATES = _words(
    """january february march april june july august september october november december jan feb mar apr
    jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue
    wed thu fri today tomorrow tonight yesterday noon midnight"""
)

DECISIONS = _words(
    """accepted agree agreed allergic allergy approved assigned booked budget cancelled canceled caused
    chose chosen commit committed confirm confirmed confirms deadline decide decided decision deployed
    due error exception created opened ordered paid sent updated failed failing fails final fix fixed
    guarantee important must promise promised refunded rejected remember replaced reserved resolved
    reverted root scheduled settled shipped signed solved vegan vegetarian"""
)
"""Words of decisions, commitments and causes: what an agent must not forget or contradict."""

INTENTS = _words(
    """always arrive arrives avoid because book cancel cause change deliver depart don't expect expected
    expects go goal instead issue keep let's lets need needs never only plan prefer prefers problem
    reason send should solution start switch take turns until use want wants will won't without
    workaround we'll i'll"""
)
"""Words of plans, wishes and reasons: weaker than a decision, stronger than talk."""

COURTESIES = _words(
    """a about absolutely afternoon ah all also alright and any anything appreciate are assist assistance
    at awesome be been bye can care chat contacting cool could course day do else enjoy evening
    excellent fine for forward fun get give glad good goodbye got great happy have hear hello help
    helped helpful here hey hi hmm how i i'd i'll i'm i've in is it it's its just kind know let like
    looking lot lovely luck makes many me moment more morning much enough now done noted actually my
    need nice night no of off oh ok okay on one patience perfect please pleasure problem question
    questions ready reaching really right see sense service support so sounds sure take talk team thank
    thanks that that'll that's the then there there's this time to today too trip understand understood
    us very wait was we weekend welcome well what will with wonderful works worries would wow yeah yep
    yes you you're your"""
)
"""A short sentence of nothing but these says nothing: greetings, thanks, offers of help, plain assent."""

STOP_WORDS = COURTESIES | _words(
    """after again against as because before being between both but by did didn't does doesn't doing don't
    down during each few from further had has he her him his if into isn't itself most nor not now once
    only or other our out over own same she should some such than their them they those through under
    until up wasn't were when where which while who whom why won't an can't"""
)
"""Words that say nothing about what a text is about."""
