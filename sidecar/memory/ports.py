"""What the domain needs from the world outside: tokens, summaries, and an engine that runs flushes.

Each port has two implementations or more, and a contract test that runs against all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from sidecar.memory.stored_message import StoredMessage


class TextCounter(Protocol):
    """Exact token counts of one vocabulary."""

    @property
    def encoding(self) -> str:
        """Name of the vocabulary, such as `o200k_base`."""
        ...

    @property
    def engine(self) -> str:
        """Name of what counts, as MEMHEALTH tells it."""
        ...

    def count(self, text: str) -> int:
        """Return the tokens of `text`, special tokens taken as plain text."""
        ...


class Summariser(Protocol):
    """Turns old messages into one text."""

    async def summarise(
        self, earlier: str, messages: Sequence[StoredMessage], budget: int, count: Callable[[str], int]
    ) -> str:
        """Return a summary of at most `budget` tokens.

        Args:
            earlier: the summary so far, which the new one replaces; "" if there is none.
            messages: what is to be removed, oldest first.
            budget: most tokens of the returned text.
            count: exact tokens of a text.

        Raises:
            SummaryProblem: there is no summary; the kind says whether to try again. Anything else is logged as a bug,
                and counts as `SummariserUnavailable`.
        """
        ...


class Partial(NamedTuple):
    """How far a summary has come: the text so far stands for the earlier summary and the first `messages` messages."""

    text: str = ""
    messages: int = 0


class PartialWork(Protocol):
    """Where a summariser that works in parts lays down how far it has come."""

    @property
    def partial(self) -> Partial:
        """What an earlier try left: go on from there. Of no messages: begin with the earlier summary."""
        ...

    async def keep(self, partial: Partial) -> None:
        """Lay a part aside; a sign of life too.

        Raises:
            FlushRefused: the memory has moved on. Go no further.
        """
        ...

    def spent(self, tokens_in: int, tokens_out: int) -> None:
        """Report what one call of a language model took and gave, by its own account."""
        ...


@runtime_checkable
class ResumableSummariser(Protocol):
    """A summariser that works in parts, of which each may cost money: a new try pays only for what is left."""

    async def resume(
        self,
        earlier: str,
        messages: Sequence[StoredMessage],
        budget: int,
        count: Callable[[str], int],
        work: PartialWork,
    ) -> str:
        """Return a summary as `Summariser.summarise` does, going on from `work.partial`."""
        ...


@dataclass(frozen=True, slots=True)
class FlushOrder:
    """Which memory to flush, and how.

    Args:
        definition, instance: which.
        force: below the threshold too.
        strategy: a name in `memory.plan.STRATEGIES`; "" for that of the definition.
        target_tokens: to get down to; None for the definition's target. It is the threshold as well then.
        trace: `traceparent` of what led to it, "" where it is in no trace.
    """

    definition: str
    instance: str
    force: bool = False
    strategy: str = ""
    target_tokens: int | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class FlushOutcome:
    """How a flush ended. `messages` and `tokens` are the totals afterwards; `again` asks for another round. `shortened`
    counts messages that stayed with less of their text; what they freed is in `tokens_freed`.

    `certain` is False where it failed and may have been carried out all the same: the commit's answer was lost.
    """

    status: Literal["done", "not-due", "failed"]
    run_id: str = ""
    strategy: str = ""
    removed: int = 0
    messages: int = 0
    tokens: int = 0
    tokens_freed: int = 0
    summary_tokens: int = 0
    duration_ms: int = 0
    error: str = ""
    again: bool = False
    shortened: int = 0
    certain: bool = True


class FlushHandle(Protocol):
    """A flush that was started, or was running already."""

    @property
    def started(self) -> bool:
        """False when the order joined a flush that was running."""
        ...

    @property
    def workflow_id(self) -> str:
        """Name of the flush of this memory, the same for every run."""
        ...

    @property
    def run_id(self) -> str:
        """Name of this run."""
        ...

    async def outcome(self) -> FlushOutcome:
        """Wait for the end. A flush that went wrong is an outcome with status `failed`, not an exception.

        Raises:
            EngineUnavailable: the engine cannot be asked; the flush itself may go on.
        """
        ...


class FlushPreview(Protocol):
    """Tells what a flush would do."""

    async def preview(self, order: FlushOrder) -> FlushOutcome:
        """Plan on the memory as it is now, and change nothing.

        `messages` and `tokens` are the totals that the plan leaves, without the summary that would be made.

        Raises:
            UpstreamError: Redis refused, or cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class UndoOutcome:
    """What an undo put back, and the totals now. `restored` None: there was nothing to undo."""

    restored: int | None
    messages: int = 0
    tokens: int = 0
    summary_tokens: int = 0


class FlushUndo(Protocol):
    """Puts back what the last flush took."""

    async def undo(self, definition: str, instance: str) -> UndoOutcome:
        """Undo the last flush of a memory, if that can still be done.

        Raises:
            FlushLocked: somebody holds the lease on the memory. Nothing was changed.
            FlushRefused: the memory has moved on, or another undo is under way. Nothing was changed.
            UpstreamError: Redis refused, or cannot be reached.
        """
        ...


class FlushEngine(Protocol):
    """Runs at most one flush of a memory at a time."""

    @property
    def name(self) -> str:
        """`temporal` or `local`."""
        ...

    async def start(self, order: FlushOrder) -> FlushHandle:
        """Start a flush, or join the one that runs.

        Raises:
            EngineUnavailable: nothing was started.
        """
        ...

    async def healthy(self) -> bool:
        """Tell whether a flush could be started now."""
        ...
