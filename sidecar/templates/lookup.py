"""What a name in a template means: an item of the context, and never an attribute of a Python object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sidecar.errors import TemplateProblem


class Missing:
    """A path that leads nowhere. Following it further leads nowhere too, so that `default` works at any depth."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __str__(self) -> str:
        raise TemplateProblem(
            f"there is no '{self.path}' in the context; give it with MEMCONTEXT or CONTEXT, "
            f"or write {self.path} | default('…')"
        )


class Found:
    """A value of the context, with the path that led to it."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    def __str__(self) -> str:
        return shown(self.value, self.path)


def item(container: object, name: object) -> Found | Missing:
    """Return what `container.name` or `container[name]` is: by key of an object, by place in a list."""
    path = f"{container.path}.{name}" if isinstance(container, Found | Missing) else str(name)
    if not isinstance(container, Found):
        return Missing(path)
    value = container.value
    if isinstance(value, Mapping):
        key = str(name)
        return Found(value[key], path) if key in value else Missing(path)
    if isinstance(value, list) and str(name).isdecimal() and int(str(name)) < len(value):
        return Found(value[int(str(name))], path)
    return Missing(path)


def shown(value: Any, path: str) -> str:
    """Return a value as it stands in a key.

    Raises:
        TemplateProblem: it is null, a list or an object, or no finite number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    kind = {type(None): "null", list: "a list", dict: "an object"}.get(type(value), "no finite number")
    raise TemplateProblem(f"'{path}' is {kind}; a key takes a string, number or boolean of the context")
