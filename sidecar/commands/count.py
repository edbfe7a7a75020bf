"""MEMCOUNT."""

from __future__ import annotations

from sidecar.commands.arguments import Arguments, text
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.requests import CountRequest
from sidecar.resp.replies import Value


def parse(items: list[bytes], resolve: Resolve) -> CountRequest:
    """Parse `[DEFINITION id | MODEL name] text [text …]`; without an option the default definition counts.

    A text that reads DEFINITION or MODEL is counted as one when nothing else follows it.
    """
    arguments = Arguments("MEMCOUNT", items)
    definition = model = None
    if len(items) > 2 and items[0].upper() in (b"DEFINITION", b"MODEL"):
        option = arguments.option()
        value = text(arguments.next("a name"), "the name")
        definition, model = (value, None) if option == b"DEFINITION" else (None, value)
    elif len(items) == 2 and items[0].upper() in (b"DEFINITION", b"MODEL"):
        raise SyntaxProblem(f"MEMCOUNT {items[0].decode().upper()} name expects at least one text after the name")
    texts = [text(item, f"text {number}") for number, item in enumerate(items[arguments.position :], 1)]
    return CountRequest(texts, definition=definition, model=model)


def render(counts: list[int]) -> Value:
    """Return the count of each text."""
    return counts
