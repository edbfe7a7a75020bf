"""Holds a value against a JSON schema, as far as our own schemas go: keywords that these do not use are refused.

The rules are those of https://json-schema.org/draft/2020-12/json-schema-validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_NOTES = {"$schema", "$defs", "title", "description", "default"}

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": lambda value: _is_number(value),
}

_LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", lambda value, limit: value >= limit),
    "maximum": ("number", lambda value, limit: value <= limit),
    "exclusiveMinimum": ("number", lambda value, limit: value > limit),
    "minLength": ("string", lambda value, limit: len(value) >= limit),
    "maxLength": ("string", lambda value, limit: len(value) <= limit),
    "pattern": ("string", lambda value, limit: re.search(limit, value) is not None),
    "minItems": ("array", lambda value, limit: len(value) >= limit),
    "maxItems": ("array", lambda value, limit: len(value) <= limit),
    "required": ("object", lambda value, limit: value.keys() >= set(limit)),
}
"""Keywords that bound values of one type, and say nothing of others."""


def misfits(value: Any, schema: Schema) -> list[str]:
    """Return what is wrong with a value, each with its place; nothing if it is what the schema says.

    Raises:
        ValueError: the schema has a keyword that is not known here.
    """
    return list(_misfits(value, schema, schema, "$"))


def _misfits(value: Any, schema: Schema, whole: Schema, place: str) -> Iterator[str]:
    for keyword, said in schema.items():
        if keyword in _NOTES:
            continue
        if keyword == "$ref":
            yield from _misfits(value, whole["$defs"][said.removeprefix("#/$defs/")], whole, place)
        elif keyword == "anyOf":
            if all(any(_misfits(value, each, whole, place)) for each in said):
                yield f"{place}: {value!r} fits none of {len(said)} forms"
        elif keyword == "type":
            if not any(_TYPES[name](value) for name in ([said] if isinstance(said, str) else said)):
                yield f"{place}: {value!r} is no {said}"
        elif keyword == "enum":
            if value not in said:
                yield f"{place}: {value!r} is none of {said}"
        elif keyword in _LIMITS:
            kind, holds = _LIMITS[keyword]
            if _TYPES[kind](value) and not holds(value, said):
                yield f"{place}: {value!r} breaks {keyword} {said}"
        elif keyword == "items":
            for number, each in enumerate(value if isinstance(value, list) else ()):
                yield from _misfits(each, said, whole, f"{place}.{number}")
        elif keyword in ("properties", "additionalProperties"):
            yield from _fields(value, keyword, schema, whole, place)
        else:
            raise ValueError(f"the keyword {keyword} is not known here")


def _fields(value: Any, keyword: str, schema: Schema, whole: Schema, place: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for name, each in value.items() if isinstance(value, dict) else ():
        if keyword == "properties" and name in known:
            yield from _misfits(each, known[name], whole, f"{place}.{name}")
        elif keyword == "additionalProperties" and name not in known:
            if schema[keyword] is False:
                yield f"{place}: there is no field {name}"
            elif schema[keyword] is not True:
                yield from _misfits(each, schema[keyword], whole, f"{place}.{name}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
