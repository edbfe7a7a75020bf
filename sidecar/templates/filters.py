"""The filters of templates. Each takes a value, found or missing, and gives a string that is not too long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sidecar.errors import TemplateProblem
from sidecar.templates.lookup import Found, Missing, shown

MAX_CHARACTERS = 4_096
"""Longest text that a template makes on its way: a key has at most 256 bytes, and some of it may be cut off."""


def default(value: object, instead: object = "") -> object:
    """Return `instead` for what is missing, null or an empty string."""
    plain = value.value if isinstance(value, Found) else value
    return instead if isinstance(value, Missing) or plain is None or plain == "" else value


def lower(value: object) -> str:
    """Return a text in lower case."""
    return bounded(text(value).lower())  # İ becomes two characters


def upper(value: object) -> str:
    """Return a text in upper case."""
    return bounded(text(value).upper())


def trim(value: object) -> str:
    """Return a text without the white space around it."""
    return text(value).strip()


def replace(value: object, old: object, new: object) -> str:
    """Return a text with another one in place of each `old`."""
    source, wanted, instead = text(value), text(old), text(new)
    if not wanted:
        raise TemplateProblem("replace takes a text that is to be replaced, not an empty one")
    _check(len(source) + source.count(wanted) * (len(instead) - len(wanted)))
    return source.replace(wanted, instead)


def join(value: object, separator: object = ",") -> str:
    """Return the items of a list as one text."""
    if isinstance(value, Missing):
        str(value)  # raises
    if not isinstance(value, Found) or not isinstance(value.value, list):
        given = f"'{value.path}'" if isinstance(value, Found) else "a text"
        raise TemplateProblem(f"join takes a list of the context, and {given} is none")
    between = text(separator)
    pieces = [shown(each, f"{value.path}.{place}") for place, each in enumerate(value.value)]
    _check(sum(map(len, pieces)) + len(between) * max(0, len(pieces) - 1))
    return between.join(pieces)


def trunc(value: object, length: object) -> str:
    """Return the first `length` characters of a text; the last ones where it is negative."""
    if isinstance(length, Missing):
        str(length)  # raises
    count: Any = length.value if isinstance(length, Found) else length
    if not isinstance(count, int) or isinstance(count, bool):
        raise TemplateProblem("trunc takes a whole number, such as trunc(8)")
    source = text(value)
    return source[:count] if count >= 0 else source[count:]


FILTERS: Mapping[str, Callable[..., object]] = MappingProxyType(
    {each.__name__: each for each in (default, lower, upper, trim, replace, join, trunc)}
)
"""By name."""


def text(value: object) -> str:
    """Return a value as text, bounded.

    Raises:
        TemplateProblem: it is missing, is no text, or is too long.
    """
    if isinstance(value, str | Found | Missing):
        return bounded(str(value))
    return shown(value, "a constant")


def bounded(result: str) -> str:
    """Return a text that is not too long, or raise."""
    _check(len(result))
    return result


def _check(length: int) -> None:
    if length > MAX_CHARACTERS:
        raise TemplateProblem(f"it makes a text of {length} characters; at most {MAX_CHARACTERS} are allowed")
