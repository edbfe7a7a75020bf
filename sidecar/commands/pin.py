"""MEMPIN and MEMUNPIN."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments
from sidecar.commands.delete import read_ids
from sidecar.commands.resolving import Resolve
from sidecar.memory.requests import PinRequest
from sidecar.resp.replies import Value


def parse_pin(items: list[bytes], resolve: Resolve) -> PinRequest:
    """Parse `key id [id …]`."""
    return _parse(Arguments("MEMPIN", items), resolve, pin=True)


def parse_unpin(items: list[bytes], resolve: Resolve) -> PinRequest:
    """Parse `key id [id …]`."""
    return _parse(Arguments("MEMUNPIN", items), resolve, pin=False)


def render(changed: int) -> Value:
    """Return the number of messages for which that changed something."""
    return changed


def _parse(arguments: Arguments, resolve: Resolve, *, pin: bool) -> PinRequest:
    memory = resolve(arguments.next("a key"))
    return PinRequest(memory, read_ids(arguments), pin)
