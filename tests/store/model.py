"""What a read returns, said a second time: in plain Python, over a list instead of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_SKIPPED = 256
"""As read.lua has it."""


@dataclass(frozen=True)
class Stored:
    """One message of the model: everything about it that decides a read."""

    id: tuple[int, int]
    role: str
    tokens: int

    @property
    def instruction(self) -> bool:
        return self.role in ("system", "developer")


@dataclass(frozen=True)
class Question:
    """The arguments of a read; None means that the option is not given."""

    tokens: int | None
    most: int | None
    since: tuple[int, int] | None
    with_summary: bool


@dataclass(frozen=True)
class Answer:
    """What a read returns."""

    summary_tokens: int
    ids: list[tuple[int, int]]
    more: bool
    left_out: int


def answer(log: Sequence[Stored], summary_tokens: int, question: Question) -> Answer:
    """Return what read.lua's header promises."""
    summary_tokens *= question.with_summary
    after = [message for message in log if question.since is None or message.id > question.since]
    if question.tokens is None:
        return without_budget(after, summary_tokens, question)
    summary_tokens *= summary_tokens <= question.tokens
    room = question.tokens - summary_tokens
    instructions, too_large = [], 0
    for message in after:
        if not message.instruction:
            continue
        if message.tokens <= room:
            room -= message.tokens
            instructions.append(message)
        else:
            too_large += 1
    others, more, skipped = newest_others(after, instructions, room, question.most)
    ids = sorted(message.id for message in instructions + others)
    return Answer(summary_tokens, ids, more, too_large + skipped)


def without_budget(after: list[Stored], summary_tokens: int, question: Question) -> Answer:
    """All, the newest, or after an id the oldest."""
    ids = [message.id for message in after]
    if question.most is None:
        return Answer(summary_tokens, ids, False, 0)
    found = ids[-question.most :] if question.since is None else ids[: question.most]
    return Answer(summary_tokens, found, len(ids) > len(found), 0)


def newest_others(
    after: list[Stored], instructions: list[Stored], share: int, most: int | None
) -> tuple[list[Stored], bool, int]:
    """Return the newest messages that are no instructions, whether there are more, and how many were passed over."""
    room, skipped = share, 0
    taken: list[Stored] = []
    for message in reversed(after):
        if message.instruction:
            continue
        passed = len(taken) + sum(instruction.id > message.id for instruction in instructions)
        if most is not None and passed >= most:
            return taken, True, skipped
        if message.tokens > share:
            if skipped == MAX_SKIPPED:
                return taken, True, skipped
            skipped += 1
        elif message.tokens > room:
            return taken, True, skipped
        else:
            room -= message.tokens
            taken.append(message)
    return taken, False, skipped
