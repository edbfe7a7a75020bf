"""The arguments of a command as data, and how Redis's documentation writes them down.

One description serves the README, `COMMAND DOCS`, from which redis-cli makes its hints, and the key positions of
`COMMAND INFO`. It describes only: whether given arguments are valid is decided by each command's `parse`.
The types are those of https://redis.io/docs/latest/develop/reference/command-arguments/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, or a group of them. The functions below make them.

    Args:
        name: what people read in its place; for a group, only programs do.
        type: Redis's name of its type.
        token: the word that stands in front of it, or is all of it; None for none.
        arguments: what a group consists of.
        access: of a key: what the command does with it, as Redis's key specifications say it.
        notes: of a key: why its access is what it is, "" if that is plain.
        optional: it may be left out.
        multiple: it may be given several times, its token only once.
        summary: one line on what it means, "" where its name says it.
    """

    name: str
    type: str
    token: str | None = None
    arguments: tuple[Argument, ...] = ()
    access: tuple[str, ...] = ()
    notes: str = ""
    optional: bool = False
    multiple: bool = False
    summary: str = ""


def key(*access: str, notes: str = "") -> Argument:
    """A key. It is in no group, and what stands in front of it are single words that are always there."""
    return Argument("key", "key", access=access, notes=notes)


def text(name: str, token: str | None = None, summary: str = "") -> Argument:
    """Any string."""
    return Argument(name, "string", token, summary=summary)


def number(name: str, token: str | None = None, summary: str = "") -> Argument:
    """A whole number."""
    return Argument(name, "integer", token, summary=summary)


def word(token: str, summary: str = "") -> Argument:
    """A word that says all by itself."""
    return Argument(token.lower(), "pure-token", token, summary=summary)


def one_of(name: str, *arguments: Argument, token: str | None = None, summary: str = "") -> Argument:
    """Exactly one of `arguments`."""
    return Argument(name, "oneof", token, arguments, summary=summary)


def block(name: str, *arguments: Argument) -> Argument:
    """All of `arguments`, in this order."""
    return Argument(name, "block", None, arguments)


def optional(argument: Argument) -> Argument:
    """The same, which may be left out."""
    return replace(argument, optional=True)


def several(argument: Argument) -> Argument:
    """The same, once or more."""
    return replace(argument, multiple=True)


def notation(argument: Argument) -> str:
    """Return the argument as Redis's documentation would write it."""
    if argument.type == "pure-token":
        shown = str(argument.token)
    else:
        shown = _value(argument)
        if argument.multiple:
            shown = f"{shown} [{shown} ...]"
        if argument.token:
            shown = f"{argument.token} {shown}"
    return f"[{shown}]" if argument.optional else shown


def _value(argument: Argument) -> str:
    if argument.type == "oneof":
        shown = " | ".join(map(notation, argument.arguments))
        alone = argument.optional and not argument.multiple and not argument.token
        return shown if alone else f"<{shown}>"
    return " ".join(map(notation, argument.arguments)) if argument.arguments else argument.name
