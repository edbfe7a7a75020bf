"""The words between a flush and the scripts on Redis: what is asked of them, and what they answer.

Plain values. The counterpart is `flush_store`, which sends and receives them; what they mean, the scripts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sidecar.memory.ports import Partial
from sidecar.store.entries import to_text
from sidecar.store.script_client import Argument

NO_LIMIT = -1
"""How the scripts write a threshold that does not exist."""


class Limits(NamedTuple):
    """Above what a flush is due. None means that there is no such threshold."""

    tokens: int | None
    messages: int | None

    @property
    def arguments(self) -> list[Argument]:
        """The thresholds as the scripts take them."""
        return [NO_LIMIT if limit is None else limit for limit in self]


class Record(NamedTuple):
    """The last flush of a memory as `meta` has it, and the totals now. `status` is "" before the first."""

    run_id: str
    status: str
    strategy: str
    error: str
    removed: int
    freed_tokens: int
    duration_ms: int
    summary_tokens: int
    shortened: int
    messages: int
    tokens: int
    again: bool


class BeginReply(NamedTuple):
    """Answer of the begin script. `code` tells which of the rest is set; see the script's header."""

    code: str
    holder: str = ""
    record: Record | None = None
    epoch: str = ""
    fence: int = 0
    generation: int = 0
    last_id: str = ""
    messages: int = 0
    tokens: int = 0
    summary_tokens: int = 0
    now_ms: int = 0


class CommitReply(NamedTuple):
    """Answer of the commit script: `record` is None where it refused; with `locked`, for how long."""

    code: str
    record: Record | None = None
    left_ms: int = 0


class Deed(NamedTuple):
    """What a commit does; see the script's header.

    Args:
        strategy: under whose name.
        removed, shortened, freed_tokens: messages that go and that are shortened, and what both free.
        drift_messages, drift_tokens: what the log holds more than `meta` says.
        summarise: whether the staged summary takes the place of what goes.
        first, last: ids of what goes; "" where nothing does.
        cursor: last id that the new log covers; "" where messages go in place.
        head: in place, the last id that goes at the head of the log; "" if the oldest message stays.
        ids: in place, the others that go.
    """

    strategy: str
    removed: int
    shortened: int
    freed_tokens: int
    drift_messages: int
    drift_tokens: int
    summarise: bool
    first: str
    last: str
    cursor: str = ""
    head: str = ""
    ids: Sequence[str] = ()

    @property
    def arguments(self) -> list[Argument]:
        """The script's arguments from the 11th on."""
        *numbers, summarise, first, last, cursor, head, ids = self
        return [*numbers, int(summarise), first, last, cursor, head, *ids]  # type: ignore[list-item]


class RawFacts(NamedTuple):
    """One message of a facts page.

    `fields` is its JSON where that may hold a tool call, else ""; `kind` its class; `text_bytes` the
    length of its text.
    """

    id: str
    role: str
    tokens: int
    fields: str
    kind: str = ""
    text_bytes: int = 0


class Work(NamedTuple):
    """What a run has staged: the plan as JSON, the tokens of the summary, None if there is none yet, and its part."""

    plan: bytes
    summary_tokens: int | None
    partial: Partial = Partial()


class Running(NamedTuple):
    """Who flushes a memory now, "" if nobody does; whether that lease has run out; and what happened last."""

    holder: str
    expired: bool
    record: Record


class Totals(NamedTuple):
    """What a memory holds, as `meta` has it."""

    messages: int
    tokens: int
    summary_tokens: int


RECORD_FIELDS = (
    "last_run", "last_status", "last_strategy", "last_error", "last_removed", "last_freed", "last_duration",
    "last_summary_tokens", "last_shortened", "messages", "tokens",
)  # fmt: skip
"""Of `meta`, in the order in which `as_record` takes them, and the scripts return them."""


def as_record(values: Sequence[Any]) -> Record:
    """Return what a script tells of the last flush: whether it asked again, then `RECORD_FIELDS`."""
    again, run, status, strategy, error, *numbers = values
    removed, freed, duration, summary, shortened, messages, tokens = (int(number or 0) for number in numbers)
    return Record(
        run_id=to_text(run),
        status=to_text(status),
        strategy=to_text(strategy),
        error=to_text(error),
        removed=removed,
        freed_tokens=freed,
        duration_ms=duration,
        summary_tokens=summary,
        shortened=shortened,
        messages=messages,
        tokens=tokens,
        again=bool(again),
    )
