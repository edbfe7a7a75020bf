"""MEMREAD."""

from __future__ import annotations

from typing import Any

from sidecar.commands import read_reply
from sidecar.commands.anthropic import to_anthropic
from sidecar.commands.arguments import Arguments, shown
from sidecar.commands.flush import MAX_WAIT_MS
from sidecar.commands.openai import to_openai
from sidecar.commands.resolving import Resolve
from sidecar.errors import SyntaxProblem
from sidecar.memory.addressing import NO_CONTEXT
from sidecar.memory.message import ROLES
from sidecar.memory.requests import Format, Oversize, ReadRequest
from sidecar.memory.results import ReadResult
from sidecar.resp import replies
from sidecar.resp.replies import Value

_KNOWN = "CONTEXT, TOKENS, RESERVE, OVERSIZE, COUNT, SINCE, BEFORE, ROLE, NOSUMMARY, FORMAT, BLOCK and PEEK"

REMEMBERED_OPTIONS = 1_024
"""Readings of options that are remembered: an agent reads with the same ones each time. Those with a context are not,
which may be large. When full, all are forgotten: ids in SINCE and BEFORE come only once."""

MOST_REMEMBERED_WORDS = 16
"""Words of options that are remembered. Without a context none is long; but one option may be there any number of
times."""

_remembered: dict[tuple[bytes, ...], dict[str, Any]] = {}

_JSON = 0
"""Where JSON stands among what is written of a result: it is the same in every protocol."""

_FORMATS: dict[bytes, Format] = {b"RESP": "resp", b"OPENAI": "openai", b"ANTHROPIC": "anthropic"}
_OVERSIZES: dict[bytes, Oversize] = {b"SKIP": "skip", b"TRUNCATE": "truncate", b"ERROR": "error"}


def parse(items: list[bytes], resolve: Resolve) -> ReadRequest:
    """Parse `key [option …]`; options in any order, a later one of the same name wins."""
    arguments = Arguments("MEMREAD", items)
    key = arguments.next("a key")
    options = tuple(items[1:])
    given = _remembered.get(options)
    if given is None:
        given = _options(arguments)
        if "context" in given:
            return ReadRequest(resolve(key, given.pop("context")), **given)
        if len(options) <= MOST_REMEMBERED_WORDS:
            if len(_remembered) >= REMEMBERED_OPTIONS:
                _remembered.clear()
            _remembered[options] = given
    return ReadRequest(resolve(key, NO_CONTEXT), **given)


def _options(arguments: Arguments) -> dict[str, Any]:
    """Return the fields of a request, and its context if there is one."""
    given: dict[str, Any] = {}
    while arguments:
        _option(arguments, given)
    reserve = given.pop("reserve", None)
    _check(given, reserve)
    if reserve:
        given["tokens"] = max(given["tokens"] - reserve, 0)
    return given


def _option(arguments: Arguments, given: dict[str, Any]) -> None:
    match option := arguments.option():
        case b"CONTEXT":
            given["context"] = arguments.json_object("CONTEXT")
        case b"TOKENS" | b"RESERVE":
            given[option.decode().lower()] = arguments.integer(option.decode())
        case b"OVERSIZE":
            given["oversize"] = _word(arguments, "OVERSIZE", _OVERSIZES)
        case b"COUNT":
            given["count"] = arguments.integer("COUNT", least=1)
        case b"SINCE":
            given["since"] = _since(arguments)
        case b"BEFORE":
            given["before"] = arguments.stream_id("BEFORE")
        case b"ROLE":
            given["roles"] = _roles(arguments)
        case b"NOSUMMARY":
            given["with_summary"] = False
        case b"FORMAT":
            given["format"] = _word(arguments, "FORMAT", _FORMATS)
        case b"BLOCK":
            # As Redis's own, 0 means for ever; and for ever is as long as any wait may be.
            given["block_ms"] = min(arguments.integer("BLOCK") or MAX_WAIT_MS, MAX_WAIT_MS)
        case b"PEEK":
            given["touch"] = False
        case _:
            raise arguments.unknown(option, _KNOWN)


def _check(given: dict[str, Any], reserve: int | None) -> None:
    if "tokens" not in given:
        if reserve is not None:
            raise SyntaxProblem("RESERVE keeps a part of TOKENS free; give TOKENS too")
        if "oversize" in given:
            raise SyntaxProblem("OVERSIZE says what becomes of a message that alone exceeds TOKENS; give TOKENS too")
    if given.get("since") == "$" and "block_ms" not in given:
        raise SyntaxProblem("SINCE $ means 'from now on', which only BLOCK can wait for; give BLOCK too, or an id")
    if "block_ms" in given and "since" not in given:
        raise SyntaxProblem("BLOCK waits for a message after SINCE; give SINCE with an id, or with $ for 'from now on'")


def _since(arguments: Arguments) -> str:
    if arguments.upcoming() == b"$":
        arguments.position += 1
        return "$"
    return arguments.stream_id("SINCE")


def _roles(arguments: Arguments) -> tuple[str, ...]:
    roles: list[str] = []
    while (role := arguments.upcoming().decode(errors="replace").lower()) in ROLES:
        arguments.position += 1
        roles.append(role)
    if not roles:
        wanted = ", ".join(sorted(ROLES))
        raise SyntaxProblem(f"ROLE takes one role or more of {wanted}, not '{shown(arguments.next('a role'))}'")
    return tuple(dict.fromkeys(roles))


def _word(arguments: Arguments, option: str, known: dict[bytes, Any]) -> Any:
    names = [name.decode() for name in known]
    wanted = f"{', '.join(names[:-1])} or {names[-1]}"
    name = arguments.next(f"{wanted} after {option}").upper()
    if name not in known:
        raise SyntaxProblem(f"{option} takes {wanted}, not '{shown(name)}'")
    return known[name]


def render(result: ReadResult) -> Value:
    """Return the reply of a read: a map, or one bulk string of JSON."""
    if result.format == "resp":
        return read_reply.fields(result)
    json = result.written.get(_JSON)
    if json is None:
        json = result.written[_JSON] = to_openai(result) if result.format == "openai" else to_anthropic(result)
    return json


def encode(result: ReadResult, protocol: int) -> bytes:
    """Return the bytes of what `render` returns, without making a map of each message."""
    if result.format == "resp":
        return read_reply.encode(result, protocol)
    return replies.encode(render(result), protocol)
