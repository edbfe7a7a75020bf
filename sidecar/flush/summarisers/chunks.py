"""Messages as text for a language model, cut into chunks that it can take at a time.

Pure. Nothing is left out here, in contrast to `sentences`, which reads for the extractive summariser: a message that is
larger than a chunk is spread over several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from sidecar.memory.stored_message import StoredMessage


class Chunk(NamedTuple):
    """A part of the conversation; with its end, this many of the messages are through."""

    text: str
    messages: int


def chunks(messages: Sequence[StoredMessage], limit: int, count: Callable[[str], int]) -> list[Chunk]:
    """Return the conversation in order, in as few chunks as it goes when none is split without need.

    O(n) counts of single messages, so call it on a thread.

    Args:
        messages: oldest first.
        limit: most tokens of a chunk.
        count: exact tokens of a text.
    """
    found: list[Chunk] = []
    held: list[tuple[Chunk, int]] = []
    weight = 0
    for unit in _units(messages, limit, count):
        tokens = count(f"{unit.text}\n")
        if held and weight + tokens > limit:
            found += _packed([each for each, _ in held], limit, count)
            held, weight = [], 0
        held.append((unit, tokens))
        weight += tokens
    return found + _packed([each for each, _ in held], limit, count)


def _packed(units: list[Chunk], limit: int, count: Callable[[str], int]) -> list[Chunk]:
    """Join units. The sum of their counts is no proof for the whole, so what is too large is halved."""
    if not units:
        return []
    whole = Chunk("\n".join(unit.text for unit in units), units[-1].messages)
    if len(units) == 1 or count(whole.text) <= limit:
        return [whole]
    half = len(units) // 2
    return _packed(units[:half], limit, count) + _packed(units[half:], limit, count)


def _units(messages: Sequence[StoredMessage], limit: int, count: Callable[[str], int]) -> Iterator[Chunk]:
    for number, message in enumerate(messages):
        pieces = list(_pieces(render(message), limit, count))
        for piece in pieces[:-1]:
            yield Chunk(piece, number)
        yield Chunk(pieces[-1], number + 1)


def _pieces(text: str, limit: int, count: Callable[[str], int]) -> Iterator[str]:
    """Yield a text whole if it fits, else in halves of halves; a single character is not cut further."""
    if len(text) <= 1 or count(text) <= limit:
        yield text
        return
    middle = len(text) // 2
    space = text.rfind(" ", middle // 2, middle)
    cut = space + 1 if space > 0 else middle
    yield from _pieces(text[:cut], limit, count)
    yield from _pieces(text[cut:], limit, count)


def render(message: StoredMessage) -> str:
    """Return a message as `role name: text`, with what it calls; parts that are no text are named only."""
    fields = _fields(message)
    name = fields.get("name")
    speaker = f"{message.role} {name}" if isinstance(name, str) else message.role
    said = [message.content] if message.content else [*_parts(fields.get("content"))]
    return f"{speaker}: " + "\n".join([*said, *_calls(fields.get("tool_calls"))])


def _fields(message: StoredMessage) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(message.fields or "{}")
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _parts(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict):
            text = part.get("text") or part.get("refusal")
            yield text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def _calls(calls: Any) -> Iterator[str]:
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield f"[calls {function.get('name', '')} {function.get('arguments', '')}]"
