"""The summariser that needs no model: it quotes the sentences that hold the most facts.

Deterministic, offline, and bounded in time. A sentence is worth the facts that the summary does not have yet
(`sidecar.flush.salience`), divided by what it costs; the best is taken again and again until the budget is
full. So repetition costs nothing, and a fact is kept once. The result keeps the order of the conversation, with
a line `user: …` each time that the speaker changes, and is its own input next time: what made it into one
summary has an advantage in the next. It quotes and never rephrases, so it cannot invent; it cannot draw a
conclusion either. The weights below were tuned by hand on five conversations, three of which are in the tests:
they are no optimum, and say little about texts of another kind.

Time is bounded by rating `MAX_TURNS` messages and `MAX_CHARS` characters at most. From a longer history it
takes the first and the latest messages and, in between, from every stretch of equal length the message that
shows the most numbers and names.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sidecar.flush.cues import ANSWER, QUESTION_MARKS, SENTENCE_MARKS
from sidecar.flush.salience import Salience, rate
from sidecar.flush.sentences import Turn, clip, read_message, read_summary
from sidecar.memory.stored_message import StoredMessage

MAX_TURNS = 3_000
"""Messages of which every sentence is rated: about a second of work."""

FIRST_TURNS, LATEST_TURNS = 100, 500
"""Of a longer history, the messages at both ends that are rated in any case: goal, and latest state."""

MAX_CHARS = 2_000_000
"""Characters that are looked at, shared out among the messages."""

FEWEST_TURN_CHARS, MOST_TURN_CHARS = 600, 6_000
"""Bounds of a message's share: room for a few sentences, and not more than a summary can use."""

CHARS_PER_PIECE = 75
"""An average sentence. A message may have as many pieces as its share has sentences of this length."""

SIGNAL_CHARS = 300
"""How much of a message is looked at to choose one of a stretch."""

EARLIER_ADVANTAGE = 1.3
"""How much more a sentence of the earlier summary is worth: it was chosen among many that are gone now."""

SPEAKER_WEIGHTS = {"user": 1.6, "tool": 0.5}
"""What the user says is what the agent must know; a tool can be called again. All others weigh 1."""

FIRST_TURN_BONUS = 1.5
"""For the turn that opens the conversation and names its goal."""

ASKED_BONUS = 0.8
"""For what the user says when asked: somebody needed to know it."""

LATEST_TURN_BONUSES = (1.2, 0.8, 0.4)
"""For the last turns, the very last first: where the conversation stands."""

CONTENT = 0.5
"""Facts and words that earn a sentence its whole bonus. "Agreed." decides, but what?"""

COST_EXPONENT = 0.75
"""Below 1, so that a long sentence with many facts is not beaten by a short one with a single fact."""

NEW_SHARE = 0.3
"""A sentence of which less than this share is new comes last: it repeats what the summary has."""

SAME_SHARE = 0.8
"""Two sentences that share this much of their words are near duplicates. Of those, one is enough."""

MAX_COMPARISONS = 100_000
"""Pairs of sentences that are compared for that: a tenth of a second."""

ANSWER_CHARS = 30
"""An answer up to this long ("Yes, please.") is taken together with its question."""

MAX_RECOUNTS = 8
"""How often the whole summary is counted to see how much room is really left."""

MAX_MISFITS = 200
"""Sentences that are tried although they do not fit the rest of the budget."""

_SIGNAL = re.compile(r"\d+|[A-Z][a-z]+")


class _Candidate(NamedTuple):
    """One sentence, or a question with its short answer: lines to add, by turn, and what they are worth."""

    places: tuple[tuple[int, int], ...]  # turn, piece
    salience: Salience
    factor: float
    bonus: float
    cost: float


def summarise(earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]) -> str:
    """Return a summary of `earlier` and `messages`.

    Args:
        earlier: the summary so far, by whichever summariser; "" if there is none.
        messages: what it is to stand for besides, oldest first.
        budget: most tokens of the result.
        count: exact tokens of a text. It is called for short texts, and a few times for the whole result.

    Returns:
        Lines `speaker: sentences`. Empty only if nothing was said, or if no single word fits the budget.
    """
    turns = _read(earlier, messages)
    candidates = _candidates(turns)
    chosen = _choose(turns, candidates, budget, count)
    # Counts of lines need not add up to the count of the text: the whole decides.
    text = _render(turns, chosen)
    if chosen and count(text) <= budget:
        return text
    fits = _most(len(chosen), lambda many: count(_render(turns, chosen[:many])) <= budget)
    if fits:
        return _render(turns, chosen[:fits])
    best = max(candidates, key=_worth, default=None)
    return _shortened(turns[best.places[0][0]].speaker, _text(turns, best.places[0]), budget, count) if best else ""


def _read(earlier: str, messages: Sequence[StoredMessage]) -> list[Turn]:
    turns = read_summary(earlier)
    messages = _sample(messages)
    chars = min(MOST_TURN_CHARS, max(FEWEST_TURN_CHARS, MAX_CHARS // max(1, len(messages))))
    read = (read_message(message, chars, chars // CHARS_PER_PIECE) for message in messages)
    return turns + [turn for turn in read if turn.pieces]


def _sample(messages: Sequence[StoredMessage]) -> Sequence[StoredMessage]:
    if len(messages) <= MAX_TURNS:
        return messages
    stretches = MAX_TURNS - FIRST_TURNS - LATEST_TURNS
    inner = len(messages) - FIRST_TURNS - LATEST_TURNS
    sample = list(messages[:FIRST_TURNS])
    for number in range(stretches):
        begin, end = (FIRST_TURNS + inner * edge // stretches for edge in (number, number + 1))
        sample.append(max(messages[begin:end], key=_signal))
    return sample + list(messages[-LATEST_TURNS:])


def _signal(message: StoredMessage) -> float:
    signals = len(_SIGNAL.findall(message.content[:SIGNAL_CHARS]))
    return signals * SPEAKER_WEIGHTS.get(message.role, 1.0)


def _candidates(turns: Sequence[Turn]) -> list[_Candidate]:
    """Rate every sentence, without exact repetitions, and without courtesies unless there is nothing else."""
    places = [(number, at) for number, turn in enumerate(turns) for at in range(len(turn.pieces))]
    texts = [turns[number].pieces[at].text for number, at in places]
    rated = dict(zip(places, rate(texts, [number for number, _ in places]), strict=True))
    turn_bonuses = _turn_bonuses(turns, sorted({number for number, at in places if not rated[number, at].courtesy}))
    candidates: dict[str, _Candidate] = {}
    courtesies: list[_Candidate] = []
    for place, text in zip(places, texts, strict=True):
        candidate = _candidate(turns, rated, place, turn_bonuses)
        if rated[place].courtesy:
            courtesies.append(candidate)
        else:
            candidates.setdefault(f"{turns[place[0]].speaker}\n{text.casefold()}", candidate)
    return list(candidates.values()) or courtesies[:1]


def _turn_bonuses(turns: Sequence[Turn], telling: Sequence[int]) -> dict[int, float]:
    """Return what the turns gain that open and close the conversation; `telling` leaves out mere courtesies."""
    bonuses = dict(zip(reversed(telling), LATEST_TURN_BONUSES, strict=False))
    goal = next((number for number in telling if turns[number].speaker.startswith("user")), None)
    if goal is not None:
        bonuses[goal] = bonuses.get(goal, 0.0) + FIRST_TURN_BONUS
    return bonuses


def _candidate(
    turns: Sequence[Turn],
    rated: dict[tuple[int, int], Salience],
    place: tuple[int, int],
    turn_bonuses: Mapping[int, float],
) -> _Candidate:
    number, at = place
    turn, salience = turns[number], rated[place]
    bonus = salience.bonus + turn_bonuses.get(number, 0.0)
    if turn.speaker.startswith("user") and number and turns[number - 1].pieces[-1].text.endswith(QUESTION_MARKS):
        bonus += ASKED_BONUS
    places = [place]
    if at == len(turn.pieces) - 1 and _is_answered(turns, number):
        places.append((number + 1, 0))
        bonus += rated[number + 1, 0].bonus
    bonus *= min(1.0, salience.total / CONTENT)
    factor = turn.pieces[at].weight * SPEAKER_WEIGHTS.get(turn.speaker.partition(" ")[0], 1.0)
    factor *= EARLIER_ADVANTAGE if turn.earlier else 1.0
    chars = sum(len(turns[n].pieces[p].text.encode()) + 12 for n, p in places)
    return _Candidate(tuple(places), salience, factor, bonus, chars**COST_EXPONENT)


def _is_answered(turns: Sequence[Turn], number: int) -> bool:
    """Tell whether a turn ends with a question to which the next one begins with a short answer."""
    if number + 1 == len(turns) or not turns[number].pieces[-1].text.endswith(QUESTION_MARKS):
        return False
    reply, speaker = turns[number + 1].pieces[0].text, turns[number + 1].speaker
    return speaker != turns[number].speaker and len(reply) <= ANSWER_CHARS and ANSWER.match(reply) is not None


def _worth(candidate: _Candidate) -> float:
    return candidate.factor * (candidate.salience.total + candidate.bonus) / candidate.cost


class _Selection:
    """The summary as it grows, and the room that is left in its budget."""

    def __init__(self, turns: Sequence[Turn], budget: int, count: Callable[[str], int]) -> None:
        self.chosen: list[_Candidate] = []
        self.misfits = 0
        self._covered: set[str] = set()
        self._turns, self._budget, self._count = turns, budget, count
        self._room, self._recounts = budget, 0
        self._taken: set[tuple[int, int]] = set()

    def has(self, candidate: _Candidate) -> bool:
        """Tell whether it was taken already, by itself or as the answer to a question."""
        return self._taken.issuperset(candidate.places)

    def new_share(self, candidate: _Candidate) -> float:
        """Return how much of its facts, by weight, the summary does not have yet (0 to 1)."""
        facts, total = candidate.salience.facts, candidate.salience.total
        new = sum(weight for fact, weight in facts.items() if fact not in self._covered)
        return new / total if total else 1.0

    def take(self, candidate: _Candidate) -> None:
        """Take a candidate, if it fits."""
        cost = self._count("\n" + _render(self._turns, [candidate]))
        if cost > self._room and self._recounts < MAX_RECOUNTS:
            # Neighbours share a line, so the whole is shorter than the sum of what was taken.
            self._recounts += 1
            self._room = self._budget - self._count(_render(self._turns, self.chosen))
        if cost > self._room:
            self.misfits += 1
            return
        self._room -= cost
        self.chosen.append(candidate)
        self._taken.update(candidate.places)
        self._covered.update(candidate.salience.facts)


def _choose(
    turns: Sequence[Turn], candidates: Sequence[_Candidate], budget: int, count: Callable[[str], int]
) -> list[_Candidate]:
    """Take the most valuable candidate again and again. A value only falls as the summary grows, so a stale one
    at the top of the heap is an upper bound, and few candidates need to be weighed again.
    """
    selection = _Selection(turns, budget, count)
    heap = [(-_worth(candidate), number) for number, candidate in enumerate(candidates)]
    heapq.heapify(heap)
    repetitive: list[_Candidate] = []
    while heap and selection.misfits < MAX_MISFITS:
        _, number = heapq.heappop(heap)
        candidate = candidates[number]
        if selection.has(candidate):
            continue
        share = selection.new_share(candidate)
        worth = _worth(candidate) * share
        if share < NEW_SHARE:
            repetitive.append(candidate)
        elif heap and -worth > heap[0][0]:
            heapq.heappush(heap, (-worth, number))
        else:
            selection.take(candidate)
    _fill(selection, repetitive)
    return selection.chosen


def _fill(selection: _Selection, repetitive: Sequence[_Candidate]) -> None:
    """Use room that is left for sentences that combine what is known anew, but not for near duplicates."""
    comparisons = 0
    for candidate in repetitive:
        comparisons += len(selection.chosen)
        if selection.misfits >= MAX_MISFITS or comparisons > MAX_COMPARISONS:
            return
        if not selection.has(candidate) and not any(_are_alike(candidate, other) for other in selection.chosen):
            selection.take(candidate)


def _are_alike(one: _Candidate, other: _Candidate) -> bool:
    ours, theirs = one.salience.facts.keys(), other.salience.facts.keys()
    return len(ours & theirs) >= SAME_SHARE * len(ours | theirs)


def _render(turns: Sequence[Turn], chosen: Sequence[_Candidate]) -> str:
    lines: list[str] = []
    speaker: str | None = None
    for number, at in sorted({place for candidate in chosen for place in candidate.places}):
        text = _text(turns, (number, at))
        if turns[number].speaker == speaker and speaker:
            # The mark lets the next summary cut at the same place.
            lines[-1] += f" {text}" if lines[-1][-1] in SENTENCE_MARKS else f"; {text}"
        else:
            speaker = turns[number].speaker
            lines.append(f"{speaker}: {text}" if speaker else text)
    return "\n".join(lines)


def _text(turns: Sequence[Turn], place: tuple[int, int]) -> str:
    return turns[place[0]].pieces[place[1]].text


def _shortened(speaker: str, text: str, budget: int, count: Callable[[str], int]) -> str:
    """Return as much of one sentence as fits the budget: with its speaker, else without, else a single word."""
    for prefix in (f"{speaker}: " if speaker else "", ""):
        shortened = _clipped(prefix + text, budget, count)
        if len(shortened) > len(prefix) + 1:  # something is left besides the mark of omission
            return shortened
    words = sorted([*text.split(), speaker], key=len, reverse=True)
    return next((word for word in words if count(word) <= budget), "")


def _clipped(line: str, budget: int, count: Callable[[str], int]) -> str:
    chars = _most(len(line), lambda chars: count(clip(line, chars)) <= budget)
    return clip(line, chars) if chars else ""


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return a number up to `limit` that fits, by bisection: the largest one, if all smaller ones fit, too."""
    most, too_many = 0, limit + 1
    while too_many - most > 1:
        middle = (most + too_many) // 2
        if fits(middle):
            most = middle
        else:
            too_many = middle
    return most
