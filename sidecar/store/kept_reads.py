"""What recent reads found, for readers who ask the same again while nothing has changed.

Nothing here is ever given away without Redis having said, in the read itself and with the reader's own rights, that it
still holds: see the version in `lua/read.lua`. So it cannot be stale, and saves Redis the walk and everybody the text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from sidecar.memory.results import ReadResult
from sidecar.memory.stored_message import StoredMessage

KEPT_BYTES = 16 * 1024 * 1024
"""Of all results together: some 300 of 50 KB, a usual prompt. What was not asked for longest goes first."""

LARGEST_SHARE = 16
"""One result may take the sixteenth part, and not drive out all others."""

MESSAGE_BYTES = 500
"""What a message takes besides its text."""

COPIES = 2
"""A text is kept as it came, and in the reply that was made of it."""


Question = tuple[Hashable, ...]
"""Whoever asks, and everything that is asked. What differs in anything that a result depends on is another question."""


@dataclass(slots=True)
class Kept:
    """A result, and in what memory it was found.

    Args:
        version: of the memory, as the read script tells it.
        result: the answer, in which orphans are left out.
        messages: as they were found.
        size: of all this in bytes, about.
        most_new_tokens: see `grown_reads`; None until somebody wants to know.
    """

    version: str
    result: ReadResult
    messages: list[StoredMessage]
    size: int
    most_new_tokens: int | None = None

    @property
    def pinned(self) -> int:
        """Messages of the memory that every budgeted read contains; 0 where the read had no budget."""
        return int(self.version.rpartition(" ")[2])


class KeptReads:
    """Results by question.

    Args:
        most_bytes: how much is kept, about; 0 keeps nothing.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._largest = most_bytes // LARGEST_SHARE
        self._kept: OrderedDict[Question, Kept] = OrderedDict()
        self.size = 0

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._most_bytes > 0

    def get(self, question: Question) -> Kept | None:
        """Return what is kept for a question, which whoever gets it must not change."""
        kept = self._kept.get(question)
        if kept is not None:
            self._kept.move_to_end(question)
        return kept

    def put(self, question: Question, version: str, result: ReadResult) -> None:
        """Keep a result in place of an older one to the same question, unless it is too large."""
        self.drop(question)
        size = _size(result)
        if size > self._largest:
            return
        self._kept[question] = Kept(version, result, result.messages, size)
        self.size += size
        while self.size > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.size -= oldest.size

    def drop(self, question: Question) -> None:
        """Forget the result of a question, if there is one."""
        kept = self._kept.pop(question, None)
        if kept is not None:
            self.size -= kept.size

    def forget(self, owner: object) -> None:
        """Drop the results of somebody who asks no more."""
        for question in [question for question in self._kept if question[0] is owner]:
            self.drop(question)


def _size(result: ReadResult) -> int:
    messages = result.messages
    # The texts in UTF-8 may take more, and ASCII in Python takes one byte each: an order of magnitude is enough.
    texts = sum([len(message.content) for message in messages]) + len(result.summary or "")
    texts += sum([len(message.fields) for message in messages if message.fields])
    return COPIES * texts + MESSAGE_BYTES * (len(messages) + 1)
