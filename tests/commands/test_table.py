"""The command table: which commands there are, and how many words each takes."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from sidecar.commands.command import Command
from sidecar.commands.table import COMMANDS
from sidecar.memory.requests import Request
from tests.commands.asking import complaint, parse, refused, resolve

SMALLEST = {
    "MEMAPPEND": ("k", "user", "hi"),
    "MEMREAD": ("k",),
    "MEMFLUSH": ("k",),
    "MEMINFO": ("k",),
    "MEMWRITE": ("k", "user", "hi"),
    "MEMCLEAR": ("k",),
    "MEMDEL": ("k", "1-0"),
    "MEMPIN": ("k", "1-0"),
    "MEMUNPIN": ("k", "1-0"),
    "MEMFORK": ("k", "l"),
    "MEMCOUNT": ("a",),
    "MEMLIST": (),
    "MEMLOCK": ("k", "1000"),
    "MEMUNLOCK": ("k", "token"),
    "MEMCONTEXT": (),
    "MEMDEFS": (),
    "MEMHEALTH": (),
}
"""Every command with as few arguments as it takes."""


_ALIKE = ("MEMWRITE", "MEMUNPIN")
_PLACES = {"MEMFORK": 2, "MEMLOCK": 2, "MEMLIST": 0, "MEMCONTEXT": 0, "MEMDEFS": 0}
"""How many words stand in front of the options, where it is not the key alone."""
_FIXED = ("MEMUNLOCK", "MEMHEALTH")
"""Which take as many words and no more; MEMUNLOCK takes TRACEPARENT besides, which is gone when it is parsed."""
_KEYLESS = ("MEMCOUNT", "MEMLIST", "MEMCONTEXT", "MEMDEFS", "MEMHEALTH")


def test_which_commands_there_are() -> None:
    """The table has these commands, by their names, in the order of the documentation."""
    assert [name.decode() for name in COMMANDS] == list(SMALLEST)
    assert all(row.name.encode() == name for name, row in COMMANDS.items())
    with pytest.raises(TypeError):
        COMMANDS[b"MEMX"] = COMMANDS[b"MEMREAD"]  # type: ignore[index]


def test_every_request_has_its_command() -> None:
    """Each kind of request is made by one command; those of MEMWRITE and MEMUNPIN are another's with a field set."""
    made = [type(parse(name, *arguments)) for name, arguments in SMALLEST.items() if name not in _ALIKE]
    assert len(set(made)) == len(made)
    assert set(made) == set(get_args(Request))


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)
def test_arity(row: Command) -> None:
    """The arity is the number of words, negative for at least so many; another number is Redis's own error."""
    smallest = SMALLEST[row.name]
    assert abs(row.arity) == len(smallest) + 1
    assert isinstance(row.request([each.encode() for each in smallest], resolve), get_args(Request))
    error = f"ERR wrong number of arguments for '{row.name.lower()}' command"
    for many in range(len(smallest)):
        assert refused(row.name, *smallest[:many]) == error
    if row.name in _FIXED:
        assert refused(row.name, *smallest, "more") == error
    else:
        assert complaint(row.name, *smallest, "more") != error


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)
def test_texts(row: Command) -> None:
    """Each row tells people what the command does, and its arguments with the key first, in Redis's notation."""
    assert row.summary.endswith(".")
    assert row.syntax.count("[") == row.syntax.count("]")
    assert (row.syntax.split(" ")[0] in ("key", "source")) == (row.name not in _KEYLESS)
    assert row.reply
    assert all(error.isupper() for error in row.errors)


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)
def test_documented_options_exist(row: Command) -> None:
    """Every word in capitals of a syntax is known to the command's parser."""
    values = {
        "JSON": ("JSON", "{"),
        **{word: ("FORMAT", word) for word in ("RESP", "OPENAI", "ANTHROPIC")},
        **{word: ("TOKENS", "1", "OVERSIZE", word) for word in ("SKIP", "TRUNCATE", "ERROR")},
    }
    for option in re.findall(r"\b[A-Z]{4,}\b", row.syntax):
        said = complaint(row.name, *SMALLEST[row.name][: _PLACES.get(row.name, 1)], *values.get(option, (option,)))
        assert "has no option" not in said
        assert "has no content" not in said
        if option in values:
            assert f"not '{option}'" not in said
