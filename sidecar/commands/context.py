"""MEMCONTEXT. The session itself carries it out: the context belongs to the connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.commands.arguments import Arguments
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import ContextRequest
from sidecar.resp.replies import Value

_encode = msgspec.json.Encoder().encode


def parse(items: list[bytes], resolve: Resolve) -> ContextRequest:
    """Parse `[json | CLEAR]`."""
    arguments = Arguments("MEMCONTEXT", items)
    if len(items) > 1:
        raise SyntaxProblem.arity("MEMCONTEXT")
    if arguments.upcoming() == b"CLEAR":
        return ContextRequest(clear=True)
    return ContextRequest(arguments.json_object("MEMCONTEXT") if items else None)


def render(context: Mapping[str, Any] | None) -> Value:
    """Return the context as JSON; OK where it was set or dropped (None)."""
    return "OK" if context is None else _encode(context)
