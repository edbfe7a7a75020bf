"""Reads the arguments of a MEM command, with errors that say what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.commands import traceparent
from sidecar.errors import BadMessage, SyntaxProblem

MAX_INTEGER = 2**53
"""Largest number that every layer, Lua's included, holds exactly."""

MAX_CONTEXT_BYTES = 64 * 1024
"""Longest CONTEXT, META or MEMCONTEXT. It is read on the event loop, and held as long as the connection lives."""

MAX_TOKEN_BYTES = 256
"""Longest token of IDEMPOTENT or LOCK: it is part of a key on Redis."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_INTEGER = re.compile(rb"\d{1,16}")
_STREAM_ID = re.compile(rb"\d{1,20}(-\d{1,20})?")


class Arguments:
    """A cursor over the arguments after the command's name.

    Args:
        command: the command's name, for error texts.
        items: the arguments.
    """

    __slots__ = ("command", "items", "position")

    def __init__(self, command: str, items: list[bytes]) -> None:
        self.command = command
        self.items = items
        self.position = 0

    def __bool__(self) -> bool:
        return self.position < len(self.items)

    def next(self, what: str) -> bytes:
        """Return the next argument; `what` names it in the error if it is missing."""
        if self.position >= len(self.items):
            raise SyntaxProblem(f"{self.command} expects {what} at the end of its arguments")
        item = self.items[self.position]
        self.position += 1
        return item

    def option(self) -> bytes:
        """Return the next argument in upper case, as an option's name."""
        return self.next("an option").upper()

    def integer(self, option: str, *, least: int = 0) -> int:
        """Return the value of `option`, a whole number from `least` to `MAX_INTEGER`."""
        item = self.next(f"a number after {option}")
        if not _INTEGER.fullmatch(item) or not least <= int(item) <= MAX_INTEGER:
            raise SyntaxProblem(f"{option} takes a whole number from {least} to 2^53, not '{shown(item)}'")
        return int(item)

    def stream_id(self, option: str) -> str:
        """Return the value of `option`, a message id."""
        item = self.next(f"a message id after {option}")
        if not _STREAM_ID.fullmatch(item):
            raise SyntaxProblem(f"{option} takes a message id such as 1732312345678-0, not '{shown(item)}'")
        return item.decode()

    def message_id(self, what: str) -> str:
        """Return the next argument, a message id, in its full form."""
        item = self.next(what)
        if not _STREAM_ID.fullmatch(item):
            raise SyntaxProblem(f"{self.command} expects message ids such as 1732312345678-0, not '{shown(item)}'")
        return item.decode() if b"-" in item else f"{item.decode()}-0"

    def token(self, option: str) -> str:
        """Return the value of `option`, a name that a client has given or was given."""
        item = self.next(f"a token after {option}")
        if not 0 < len(item) <= MAX_TOKEN_BYTES:
            raise SyntaxProblem(f"{option} takes a token of 1 to {MAX_TOKEN_BYTES} bytes, this one has {len(item)}")
        try:
            return item.decode()
        except UnicodeDecodeError as problem:
            raise SyntaxProblem(f"the token of {option} is not UTF-8") from problem

    def json_object(self, option: str) -> Mapping[str, Any]:
        """Return the value of `option`, a JSON object."""
        item = self.next(f"a JSON object after {option}")
        if len(item) > MAX_CONTEXT_BYTES:
            raise SyntaxProblem(f"{option} takes at most {MAX_CONTEXT_BYTES} bytes of JSON, this one has {len(item)}")
        try:
            return _decode(item)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise SyntaxProblem(f"{option} takes a JSON object: {problem}") from problem

    def upcoming(self) -> bytes:
        """Return the next argument in upper case without taking it; empty where there is none."""
        return self.items[self.position].upper() if self.position < len(self.items) else b""

    def unknown(self, option: bytes, known: str) -> SyntaxProblem:
        """Return the error for an option that does not exist, or not here."""
        if option == traceparent.OPTION:
            return traceparent.misplaced()
        return SyntaxProblem(f"{self.command} has no option '{shown(option)}'; it knows {known}")


def text(item: bytes, what: str) -> str:
    """Decode UTF-8.

    Raises:
        BadMessage: names the first byte that is not UTF-8.
    """
    try:
        return item.decode()
    except UnicodeDecodeError as problem:
        raise BadMessage(
            f"{what} is not UTF-8: byte 0x{item[problem.start]:02x} at offset {problem.start}; send text as UTF-8"
        ) from problem


def shown(item: bytes) -> str:
    """Return an argument fit for an error text: short and printable."""
    return "".join(character if character.isprintable() else "?" for character in item[:64].decode(errors="replace"))
