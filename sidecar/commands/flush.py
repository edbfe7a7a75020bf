"""MEMFLUSH."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sidecar.commands.arguments import Arguments, shown
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.addressing import NO_CONTEXT
from sidecar.memory.plan import STRATEGIES
from sidecar.memory.requests import FlushRequest
from sidecar.memory.results import FlushReport
from sidecar.resp.replies import Value

MAX_WAIT_MS = 3_600_000
"""One hour: longer than any flush, and short enough that a forgotten client does not wait for ever."""


def parse(items: list[bytes], resolve: Resolve) -> FlushRequest:
    """Parse `key [CONTEXT json] [STRATEGY name] [TARGET tokens] [FORCE] [DRYRUN] [WAIT ms] | UNDO`."""
    arguments = Arguments("MEMFLUSH", items)
    key, context, given = arguments.next("a key"), NO_CONTEXT, dict[str, Any]()
    while arguments:
        option = arguments.option()
        if option == b"CONTEXT":
            context = arguments.json_object("CONTEXT")
        elif option == b"STRATEGY":
            given["strategy"] = _strategy(arguments)
        elif option == b"TARGET":
            given["target"] = arguments.integer("TARGET")
        elif option == b"FORCE":
            given["force"] = True
        elif option == b"DRYRUN":
            given["dry_run"] = True
        elif option == b"UNDO":
            given["undo"] = True
        elif option == b"WAIT":
            given["wait_ms"] = min(arguments.integer("WAIT", least=1), MAX_WAIT_MS)
        else:
            raise arguments.unknown(option, "CONTEXT, STRATEGY, TARGET, FORCE, DRYRUN and WAIT")
    if "undo" in given and len(given) > 1:
        raise SyntaxProblem("UNDO goes with no other option but CONTEXT")
    return FlushRequest(resolve(key, context), **given)


def _strategy(arguments: Arguments) -> str:
    name = arguments.next("a name after STRATEGY")
    known = {strategy.encode(): strategy for strategy in STRATEGIES}
    if name.lower() not in known:
        raise SyntaxProblem(f"STRATEGY takes one of {', '.join(sorted(STRATEGIES))}, not '{shown(name)}'")
    return known[name.lower()]


def render(report: FlushReport) -> Value:
    """Return the map of what is known; fields that have no value yet are left out."""
    named = {field.name.replace("_", "-"): getattr(report, field.name) for field in fields(report)}
    return {name: value for name, value in named.items() if value is not None}
