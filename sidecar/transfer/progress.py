"""Whom an export or import tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """All calls are cheap; a memory that is begun again is told again."""

    def memory(self, key: str, messages: int | None) -> None:
        """A memory begins, with so many messages as far as that is known."""
        ...

    def messages(self, count: int) -> None:
        """So many messages more have been done."""
        ...

    def read(self, size: int) -> None:
        """So many bytes more of the input have been read."""
        ...


class Silent:
    """Tells nobody."""

    def memory(self, key: str, messages: int | None) -> None: ...

    def messages(self, count: int) -> None: ...

    def read(self, size: int) -> None: ...
