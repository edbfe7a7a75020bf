"""The memory definitions in force. One object that all parts hold, so that a reload is one step for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.memory.definition import DEFAULT_DEFINITION, Definition
from sidecar.memory.ports import Summariser


class Catalogue(Mapping[str, Definition]):
    """Definitions by id.

    Args:
        by_id: the definitions.
        summarisers: those that the definitions name, but for the built-in one.
        strict: whether a key that names none of them is refused, instead of being one of `default`.
    """

    def __init__(
        self,
        by_id: Mapping[str, Definition],
        *,
        strict: bool = False,
        summarisers: Mapping[str, Summariser] | None = None,
    ) -> None:
        self.summarisers: dict[str, Summariser] = {}
        self.replace(by_id, strict=strict, summarisers=summarisers)

    def replace(
        self, by_id: Mapping[str, Definition], *, strict: bool, summarisers: Mapping[str, Summariser] | None = None
    ) -> None:
        """Put others in force. Commands under way end with what they began with."""
        self.by_id = dict(by_id)  # a new object, by which caches notice the change
        # The same object, which the flush holds; a summary under way ends with the summariser that it began with.
        self.summarisers.clear()
        self.summarisers.update(summarisers or {})
        self.fallback = None if strict else self.by_id.get(DEFAULT_DEFINITION)

    def __getitem__(self, name: str) -> Definition:
        return self.by_id[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_id)

    def __len__(self) -> int:
        return len(self.by_id)
