"""Gets a staged plan to where one short script carries it out.

What goes is set aside first, complete, so that nothing can be removed that was not kept; messages that are to be
shortened are; and where the plan takes so much that its removal would hold Redis up, the log that is to be is made
anew beside the old one. All of it in pieces of less than a millisecond, under the fence, changing nothing of the
memory. Repeated, it begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise

from sidecar.flush.staging import StagedPlan
from sidecar.memory.definition import Definition
from sidecar.memory.stored_message import StoredMessage
from sidecar.memory.truncation import truncated
from sidecar.store.flush_copies import FORMS, FlushCopies, Span, Stream
from sidecar.store.flush_words import Deed
from sidecar.store.lease import Lease

Count = Callable[[str], int]


class Removal:
    """Prepares what commits do.

    Args:
        copies: makes the copies.
    """

    def __init__(self, copies: FlushCopies) -> None:
        self._copies = copies

    async def prepare(self, lease: Lease, plan: StagedPlan, definition: Definition, count: Count) -> Deed:
        """Prepare a plan. O(messages that go), with `plan.rebuild` O(all messages).

        Args:
            lease: of the run that staged the plan.
            plan: what goes.
            definition: of the memory.
            count: exact tokens of a text, in the encoding of the stored counts.

        Raises:
            FlushRefused: the memory has moved on.
        """
        spared = 0
        if plan.ranges or plan.shortened:
            await self._copies.copy(lease, Stream.ASIDE, list(aside_spans(plan)))
        if plan.shortened:
            spared = await self._shorten(lease, plan, definition, count)
        cursor = await self._rebuild(lease, plan) if plan.rebuild else ""
        head = plan.ranges[0] if plan.ranges and plan.ranges[0].ids is None and not plan.rebuild else None
        return Deed(
            strategy=plan.strategy,
            removed=plan.removed,
            shortened=len(plan.shortened),
            freed_tokens=plan.freed_tokens + spared,
            drift_messages=plan.drift_messages,
            drift_tokens=plan.drift_tokens,
            summarise=plan.summarise,
            first=plan.ranges[0].first if plan.ranges else "",
            last=plan.ranges[-1].last if plan.ranges else "",
            cursor=cursor,
            head=head.last if head else "",
            ids=[id_ for part in plan.ranges for id_ in part.ids or ()],
        )

    async def catch_up(self, lease: Lease, deed: Deed) -> Deed:
        """Copy what was appended since the log was made anew."""
        await self._copies.copy(lease, Stream.NEXT, [Span(Stream.LOG, f"({deed.cursor}", "+")], anew=False)
        newest = await self._copies.newest(lease, Stream.NEXT)
        return deed._replace(cursor=max(newest or deed.cursor, deed.cursor, key=order))

    async def _rebuild(self, lease: Lease, plan: StagedPlan) -> str:
        """Make the new log; return the last id of the log that it covers."""
        await self._copies.copy(lease, Stream.NEXT, list(next_spans(plan)))
        newest, (_, last, _) = await self._copies.newest(lease, Stream.NEXT), _touched(plan)[-1]
        return max(newest or last, last, key=order)

    async def _shorten(self, lease: Lease, plan: StagedPlan, definition: Definition, count: Count) -> int:
        """Lay the shortened forms aside; return the tokens that they free. `FORMS` texts are held at a time."""
        freed, most = 0, {each.id: each.most_tokens for each in plan.shortened}
        ids = list(most)
        for at in range(0, len(ids), FORMS):
            originals = await self._copies.originals(lease, ids[at : at + FORMS])
            # Off the event loop: texts may be large, and each is counted a dozen times.
            forms = await asyncio.to_thread(_shortened, originals, most, definition, count)
            freed += sum(message.tokens for message in originals) - sum(form.tokens for form in forms)
            await self._copies.shorten(lease, forms, anew=at == 0)
        return freed


def _shortened(
    messages: list[StoredMessage], most: dict[str, int], definition: Definition, count: Count
) -> list[StoredMessage]:
    forms = (truncated([message], most[message.id], count, definition) for message in messages)
    # What cannot be made to fit, because its name alone is too long, stays as it is.
    return [form[0] if form else message for form, message in zip(forms, messages, strict=True)]


def aside_spans(plan: StagedPlan) -> Iterator[Span]:
    """Yield what a plan takes or changes, oldest first."""
    for first, last, _ in _touched(plan):
        yield Span(Stream.LOG, first, last)


def next_spans(plan: StagedPlan) -> Iterator[Span]:
    """Yield what the log is to hold after a plan, oldest first, with what comes after the snapshot."""
    for gap, (first, last, stays) in zip(_gaps(plan), _touched(plan), strict=False):
        yield gap
        if stays:
            yield Span(Stream.BRIEF, first, last)
    yield list(_gaps(plan))[-1]


def former_spans(plan: StagedPlan) -> Iterator[Span]:
    """Yield what the log held before a plan, oldest first, with what came after it.

    A message that was shortened is given back only where it is still there: it may have been deleted since.
    """
    for gap, (first, last, stays) in zip(_gaps(plan), _touched(plan), strict=False):
        yield gap
        yield Span(Stream.UNDO, first, last, only_there=stays)
    yield list(_gaps(plan))[-1]


def _touched(plan: StagedPlan) -> list[tuple[str, str, bool]]:
    """Return first and last ids of what is removed or (True) shortened, oldest first."""
    removed = [(part.first, part.last, False) for part in plan.ranges]
    return sorted([*removed, *((each.id, each.id, True) for each in plan.shortened)], key=lambda part: order(part[0]))


def _gaps(plan: StagedPlan) -> Iterator[Span]:
    """Yield the spans of the log that a plan leaves as they are: before, between and behind what it touches."""
    edges = [("", "-"), *((first, last) for first, last, _ in _touched(plan)), ("+", "")]
    for (_, last), (first, _) in pairwise(edges):
        yield Span(Stream.LOG, last if last == "-" else f"({last}", first if first == "+" else f"({first}")


def order(id_: str) -> tuple[int, int]:
    """Return what message ids are ordered by."""
    ms, _, sequence = id_.partition("-")
    return int(ms), int(sequence)
