"""What was acknowledged, against what the memory holds afterwards. Pure: marks in, an account out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the messages of one measurement.

    Args:
        acknowledged: messages that the library said are stored.
        stored: messages that are there.
        lost: acknowledged and not there.
        duplicated: copies beyond the first.
        misplaced: there behind a message that the same writer had sent later.
        unexpected: there, though nobody was told that they are stored.
    """

    acknowledged: int
    stored: int
    lost: int
    duplicated: int
    misplaced: int
    unexpected: int

    @property
    def right(self) -> bool:
        """Whether everything is there, once and in order, and nothing else."""
        return not (self.lost or self.duplicated or self.misplaced or self.unexpected)


def audit(acknowledged: Mapping[str, int], marks: Sequence[str]) -> Account:
    """Return the account of one measurement.

    Args:
        acknowledged: how many appends of each writer were acknowledged; their marks are `writer.0`, `writer.1`, ….
        marks: of all messages of the memory, in its order.
    """
    expected = {f"{writer}.{number}" for writer, number_of in acknowledged.items() for number in range(number_of)}
    copies = Counter(marks)
    return Account(
        acknowledged=len(expected),
        stored=len(marks),
        lost=len(expected - copies.keys()),
        duplicated=copies.total() - len(copies),
        misplaced=_misplaced(marks),
        unexpected=len(copies.keys() - expected),
    )


def _misplaced(marks: Sequence[str]) -> int:
    """Return how many messages stand behind one of the same writer with a higher number; copies are no matter here."""
    highest: dict[str, int] = {}
    found: set[str] = set()
    for mark in dict.fromkeys(marks):
        writer, _, number = mark.rpartition(".")
        if int(number) < highest.get(writer, -1):
            found.add(mark)
        highest[writer] = max(int(number), highest.get(writer, -1))
    return len(found)
