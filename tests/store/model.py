"""What a read returns, said a second time: in plain Python, over a list instead of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_SKIPPED = 256
"""As read.lua has it."""

Id = tuple[int, int]


@dataclass(frozen=True)
class Stored:
    """One message of the model: everything about it that decides a read.

    `calls` are the ids of the tool calls that it makes, `answers` the one whose result it is, `kind` its class.
    """

    id: Id
    role: str
    tokens: int
    calls: tuple[str, ...] = ()
    answers: str | None = None
    kind: str = ""
    pinned: bool = False

    @property
    def kept(self) -> bool:
        return self.pinned or self.role in ("system", "developer")


@dataclass(frozen=True)
class Question:
    """The arguments of a read; None means that the option is not given."""

    tokens: int | None = None
    most: int | None = None
    since: Id | None = None
    with_summary: bool = True
    before: Id | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a read returns."""

    summary_tokens: int
    ids: list[Id]
    more: bool
    left_out: int


@dataclass(frozen=True)
class Unit:
    """Messages that go together. `whole`: each call has a result, or may still get one."""

    members: tuple[Stored, ...]
    whole: bool

    @property
    def tokens(self) -> int:
        return sum(member.tokens for member in self.members)


def units(log: Sequence[Stored]) -> dict[Id, Unit]:
    """Return the unit of each message of a log."""
    found: dict[Id, Unit] = {}
    for place, message in enumerate(log):
        if message.calls:
            unit = _called(log, place)
            found |= {member.id: unit for member in unit.members}
        elif message.id not in found:
            found[message.id] = Unit((message,), whole=message.role != "tool" or message.answers is None)
    return found


def _called(log: Sequence[Stored], place: int) -> Unit:
    caller = log[place]
    unanswered, mine = set(caller.calls), set(caller.calls)
    members, closed = [caller], False
    for message in log[place + 1 :]:
        if message.role != "tool":
            if not unanswered:
                break  # another turn
            closed = True
            mine -= set(message.calls)
        elif message.answers in mine:
            members.append(message)
            unanswered.discard(message.answers)
    return Unit(tuple(members), whole=not (closed and unanswered))


def answer(
    log: Sequence[Stored], summary_tokens: int, question: Question, shares: dict[str, int] | None = None
) -> Answer:
    """Return what read.lua's header promises."""
    summary_tokens *= question.with_summary
    inside = [
        message
        for message in log
        if (question.since is None or message.id > question.since)
        and (question.before is None or message.id < question.before)
    ]
    wanted = [message for message in inside if not question.roles or message.role in question.roles]
    if question.tokens is None:
        return without_budget(wanted, summary_tokens, question)
    more_after = False
    before, most = question.before, question.most
    if most is not None and question.since is not None:
        more_after = len(wanted) > most
        if more_after:
            before = wanted[most].id
            wanted = wanted[:most]
        most = None
    summary_tokens *= summary_tokens <= question.tokens
    walk = Walk(log, question, before, question.tokens - summary_tokens, shares or {})
    walk.keep(wanted)
    full = walk.walk(wanted, most)
    return Answer(summary_tokens, sorted(walk.taken), full or more_after, walk.left_out)


def without_budget(wanted: list[Stored], summary_tokens: int, question: Question) -> Answer:
    """All, the newest, or after an id the oldest."""
    ids = [message.id for message in wanted]
    if question.most is None:
        return Answer(summary_tokens, ids, False, 0)
    found = ids[-question.most :] if question.since is None else ids[: question.most]
    return Answer(summary_tokens, found, len(ids) > len(found), 0)


class Walk:
    """A budget that is being spent: first on what is kept, then from the newest backwards."""

    def __init__(
        self, log: Sequence[Stored], question: Question, before: Id | None, room: int, shares: dict[str, int]
    ) -> None:
        self._units = units(log)
        self._question = question
        self._before = before
        self._budget = room
        self._room = room
        self._shares = shares
        self._used = dict.fromkeys(shares, 0)
        self._decided: dict[Id, bool] = {}
        self._kept: set[Id] = set()
        self.taken: set[Id] = set()
        self.left_out = 0

    def unit(self, message: Stored) -> Unit:
        """Return the unit of a message, as far as this read may return it."""
        unit = self._units[message.id]
        since = self._question.since
        if message.role == "tool" and not message.calls and len(unit.members) == 1:
            return unit
        if since is not None and unit.members[0].id <= since:
            return Unit((message,), whole=True)  # whoever goes on from there has the call already
        roles = self._question.roles
        inside = all(
            (not roles or member.role in roles) and (self._before is None or member.id < self._before)
            for member in unit.members
        )
        return Unit(unit.members, unit.whole and inside)

    def keep(self, wanted: Sequence[Stored]) -> None:
        """Spend on instructions and pins, the oldest first."""
        for message in wanted:
            if not message.kept or message.id in self._decided:
                continue
            unit = self.unit(message)
            fits = unit.whole and unit.tokens <= self._room
            for member in unit.members:
                self._decided[member.id] = fits
                self._kept.add(member.id)
            if fits:
                self._room -= unit.tokens
                self.taken |= {member.id for member in unit.members}
            else:
                self.left_out += len(unit.members)

    def walk(self, wanted: Sequence[Stored], most: int | None) -> bool:
        """Spend on the others, the newest first. Returns whether the walk ended before its end."""
        share, counted, skipped = self._room, 0, 0
        for message in reversed(wanted):
            if message.id in self._kept:
                counted += self._decided[message.id] and counted != most
                continue
            if message.id in self._decided:
                continue
            if counted == most:
                return self._end(skipped)
            unit = self.unit(message)
            size, kind = len(unit.members), unit.members[0].kind
            over_share = kind in self._shares and self._used[kind] + unit.tokens > self._shares[kind]
            if unit.whole and not over_share and (most is None or size <= most):
                if most is not None and counted + size > most:
                    return self._end(skipped)
                if unit.tokens <= self._room:
                    self._room -= unit.tokens
                    counted += size
                    if kind in self._used:
                        self._used[kind] += unit.tokens
                    self._decided |= {member.id: True for member in unit.members}
                    self.taken |= {member.id for member in unit.members}
                    continue
                if unit.tokens <= share:
                    return self._end(skipped)
            if skipped >= MAX_SKIPPED:
                return self._end(skipped)
            skipped += size
            self._decided |= {member.id: False for member in unit.members}
        self.left_out += skipped
        return False

    def _end(self, skipped: int) -> bool:
        self.left_out += skipped
        return True
