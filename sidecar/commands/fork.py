"""MEMFORK. Its reply is that of an append."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import ForkRequest


def parse(items: list[bytes], resolve: Resolve) -> ForkRequest:
    """Parse `source target [AT id]`."""
    arguments = Arguments("MEMFORK", items)
    source, target = resolve(arguments.next("a source")), resolve(arguments.next("a target"))
    at = None
    while arguments:
        option = arguments.option()
        if option != b"AT":
            raise arguments.unknown(option, "AT")
        at = arguments.message_id("a message id after AT")
    if source.keys.name == target.keys.name:
        raise SyntaxProblem("source and target of MEMFORK are the same memory; name an empty one as target")
    return ForkRequest(source, target, at)
