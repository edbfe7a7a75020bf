"""MEMDEL."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import DeleteRequest
from sidecar.resp.replies import Value

MAX_IDS = 4_096
"""Most ids of one command: deleting them is one script, and Redis serves nobody else meanwhile."""


def parse(items: list[bytes], resolve: Resolve) -> DeleteRequest:
    """Parse `key [LOCK token] [PAIRS] id [id …]`."""
    arguments = Arguments("MEMDEL", items)
    request = DeleteRequest(resolve(arguments.next("a key")), [])
    while (option := arguments.upcoming()) in (b"LOCK", b"PAIRS"):
        arguments.position += 1
        if option == b"LOCK":
            request.lock = arguments.token("LOCK")
        else:
            request.pairs = True
    request.ids = read_ids(arguments)
    return request


def read_ids(arguments: Arguments) -> list[str]:
    """Read all remaining arguments as message ids, at least one."""
    left = len(arguments.items) - arguments.position
    if left > MAX_IDS:
        raise SyntaxProblem(f"{arguments.command} takes at most {MAX_IDS} ids at a time, not {left}")
    ids = [arguments.message_id("a message id")]
    while arguments:
        ids.append(arguments.message_id("a message id"))
    return ids


def render(deleted: int) -> Value:
    """Return the number of messages that were deleted."""
    return deleted
