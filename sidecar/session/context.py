"""The template context of one connection (MEMCONTEXT), and how keys are resolved in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.commands.resolving import Resolve, union
from sidecar.memory.addressing import NO_CONTEXT, Context, Memory
from sidecar.memory.requests import ContextRequest


class ConnectionContext:
    """What templates of this connection may name.

    Args:
        resolve: finds the memory that a key names in a context.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._outside = resolve
        self._context: Context = NO_CONTEXT
        self.resolve: Resolve = resolve
        """Finds the memory that a key names on this connection."""

    def execute(self, request: ContextRequest) -> Mapping[str, Any] | None:
        """Set, drop or show the context. Returns it where it is to be shown, else None."""
        if request.clear:
            self.clear()
        elif request.context is None:
            return self._context
        else:
            self._context = request.context
            self.resolve = self._inside
        return None

    def clear(self) -> None:
        """Forget everything, as RESET does with what else a connection has."""
        self._context = NO_CONTEXT
        self.resolve = self._outside  # most connections have no context, and pay nothing for it

    def _inside(self, key: bytes, context: Context = NO_CONTEXT, /) -> Memory:
        return self._outside(key, union(self._context, context))
