"""A message as it comes back from Redis; not in `message` because msgspec reads its annotations (`store.packed`)."""

from __future__ import annotations

from typing import NamedTuple


class StoredMessage(NamedTuple):
    """A message as it comes back from Redis. `fields` is the JSON object of `Message.fields`, or None."""

    id: str
    role: str
    content: str
    tokens: int
    fields: str | None = None
