"""MEMDEFS."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from sidecar.commands.arguments import Arguments, text
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.definition import Definition
from sidecar.memory.requests import DefinitionsRequest
from sidecar.resp.replies import Value


def parse(items: list[bytes], resolve: Resolve) -> DefinitionsRequest:
    """Parse `[id]`."""
    arguments = Arguments("MEMDEFS", items)
    if len(items) > 1:
        raise SyntaxProblem.arity("MEMDEFS")
    return DefinitionsRequest(text(arguments.next("an id"), "the id") if arguments else None)


def render(found: list[str] | Definition) -> Value:
    """Return the ids, or everything about one definition, with the thresholds and targets that follow from it."""
    if not isinstance(found, Definition):
        return found
    derived = {
        "threshold-tokens": found.threshold_tokens,
        "threshold-messages": found.threshold_messages,
        "target-tokens": found.target_tokens,
        "target-messages": found.target_messages,
    }
    return {**_map(found), **derived}


def _map(value: Any) -> dict[str, Value]:
    return {field.name.replace("_", "-"): _shown(getattr(value, field.name)) for field in fields(value)}


def _shown(value: Any) -> Value:
    if is_dataclass(value):
        return _map(value)
    if isinstance(value, tuple):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        return dict(value)
    plain: Value = value
    return plain
