"""How a command's key becomes a memory: what `parse` functions are given, and the union of two template contexts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sidecar.memory.addressing import NO_CONTEXT, Context, Memory

MAX_UNION_DEPTH = 32
"""Levels of objects that are united; deeper ones are taken whole from the command. Templates are not that deep."""


class Resolve(Protocol):
    """Finds the memory that a key names; `memory.addressing.Addressing.resolve` is one."""

    def __call__(self, key: bytes, context: Context = NO_CONTEXT, /) -> Memory:
        """Return the memory.

        Args:
            key: as the client wrote it.
            context: what the command itself says; the connection's own is known already.

        Raises:
            CommandError: the key names no memory.
        """
        ...


def union(connection: Mapping[str, Any], command: Mapping[str, Any], depth: int = MAX_UNION_DEPTH) -> Mapping[str, Any]:
    """Return the union of two contexts: objects are united, and where both say something else the command wins."""
    if not command:
        return connection
    united = dict(connection)
    for name, value in command.items():
        known = united.get(name)
        if depth and isinstance(known, dict) and isinstance(value, dict):
            united[name] = union(known, value, depth - 1)
        else:
            united[name] = value
    return united
