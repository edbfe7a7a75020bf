"""Holds JSON against the request types that the vendors publish in their packages, strictly: no field too many."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict


class Misfit(AssertionError):
    """A value is not of a type."""


def check(value: Any, kind: Any, where: str = "it") -> None:
    """Raise `Misfit` where a value is not of a type made of TypedDicts, unions, literals and lists."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object or kind == Any:
        return
    if origin in (Required, NotRequired) or (origin is not None and origin.__name__ == "Annotated"):
        check(value, arguments[0], where)
    elif origin in (Union, types.UnionType):
        _one_of(value, arguments, where)
    elif origin is Literal:
        _agree(value in arguments, where, value, kind)
    elif is_typeddict(kind):
        _fields(value, kind, where)
    elif origin is not None and issubclass(origin, Mapping):
        _agree(isinstance(value, dict), where, value, kind)
    elif origin is not None and issubclass(origin, Iterable):
        _agree(isinstance(value, list), where, value, kind)
        for place, item in enumerate(value):
            check(item, arguments[0], f"{where}.{place}")
    elif kind is None or kind is types.NoneType:
        _agree(value is None, where, value, kind)
    else:
        _agree(type(value) is kind or (kind is float and type(value) is int), where, value, kind)


def _fields(value: Any, kind: Any, where: str) -> None:
    _agree(isinstance(value, dict), where, value, kind)
    hints = get_type_hints(kind, include_extras=True)
    for name, hint in hints.items():
        # Not `__required_keys__`, which does not see through annotations that are strings.
        origin: Any = get_origin(hint)
        needed = origin is Required or (kind.__total__ and origin is not NotRequired)
        _agree(name in value or not needed, f"{where}.{name} is missing", value, kind)
    for name, item in value.items():
        _agree(name in hints, f"{where}.{name} is not known", value, kind)
        check(item, hints[name], f"{where}.{name}")


def _one_of(value: Any, kinds: Iterable[Any], where: str) -> None:
    problems = []
    for kind in kinds:
        try:
            check(value, kind, where)
        except Misfit as problem:
            problems.append(str(problem))
        else:
            return
    raise Misfit("; ".join(problems))


def _agree(fits: bool, where: str, value: Any, kind: Any) -> None:
    if not fits:
        raise Misfit(f"{where}: {value!r} is no {kind}")
