"""MEMFLUSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from sidecar.commands.arguments import Arguments
from sidecar.memory.addressing import Memory
from sidecar.memory.requests import FlushRequest
from sidecar.memory.results import FlushReport
from sidecar.resp.replies import Value

MAX_WAIT_MS = 3_600_000
"""One hour: longer than any flush, and short enough that a forgotten client does not wait for ever."""


def parse(items: list[bytes], resolve: Callable[[bytes], Memory]) -> FlushRequest:
    """Parse `key [FORCE] [WAIT ms]`."""
    arguments = Arguments("MEMFLUSH", items)
    request = FlushRequest(resolve(arguments.next("a key")))
    while arguments:
        option = arguments.option()
        if option == b"FORCE":
            request.force = True
        elif option == b"WAIT":
            request.wait_ms = min(arguments.integer("WAIT", least=1), MAX_WAIT_MS)
        else:
            raise arguments.unknown(option, "FORCE and WAIT")
    return request


def render(report: FlushReport) -> Value:
    """Return the map of what is known; fields that have no value yet are left out."""
    named = {field.name.replace("_", "-"): getattr(report, field.name) for field in fields(report)}
    return {name: value for name, value in named.items() if value is not None}
