"""What every source of an import gives: events, each with the place in the input where it stands."""

from __future__ import annotations

from typing import Any, NamedTuple

from sidecar.store.outgoing import Summary


class Place(NamedTuple):
    """A line of a file, or an element of a list, from 1; for error texts."""

    name: str
    number: int


class Begin(NamedTuple):
    """A memory begins.

    Args:
        place: where.
        key: `definition:instance`.
        summary: what it begins with, or None; its tokens are counted anew.
        size: messages that follow, or None where that is not known.
    """

    place: Place
    key: str
    summary: Summary | None = None
    size: int | None = None


class Said(NamedTuple):
    """A message of the memory that has begun: its JSON object, its id or "", and whether it is pinned."""

    place: Place
    fields: dict[str, Any]
    id: str = ""
    pinned: bool = False


class End(NamedTuple):
    """The memory is complete, with so many messages."""

    place: Place
    messages: int


class Void(NamedTuple):
    """What came of the memory does not hold."""

    place: Place


Event = Begin | Said | End | Void
