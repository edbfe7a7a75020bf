"""Carries out a privacy policy: takes what its patterns find out of a message, wherever it stands in it.

The counterpart is `memory.intake`, which asks before anything is counted or stored. Nothing of a message is ever in an
error or a log: what goes wrong is told by the step alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sidecar.errors import PrivacyFailed
from sidecar.memory.definition import PrivacyPolicy
from sidecar.memory.message import Message
from sidecar.privacy.builtin import Pattern, builtin, compile_pattern

MAX_DEPTH = 128
"""Deepest JSON that is searched: deeper than a message may be (`commands.messages.MAX_NESTING`)."""

STRUCTURE = frozenset({"role", "type", "id", "tool_call_id", "detail", "format", "mime_type", "media_type", "file_id"})
"""Fields whose values tie messages together, or say what they are; no conversation is in them.

In the arguments of a call they are what the model says, as any other field there."""

SHORTEST_NUMBER = 10**7
"""Whole numbers from here on are searched as texts: a card's or telephone's number need not stand in quotes."""

FORMATS = frozenset({"format", "media_type", "mime_type"})
"""Fields one of which stands beside the `data` of an encoded file."""

URLS = frozenset({"url", "image_url", "file_url", "audio_url"})
"""Fields that may hold a file in place of an address."""

LONGEST_MEDIA_TYPE = 256
"""Characters in which a `data:` URL must have said that an encoded file follows."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Span(NamedTuple):
    """Where something was found."""

    start: int
    end: int
    kind: str
    instead: str


class Redactor:
    """One policy, compiled.

    Args:
        policy: what is looked for.
        rebuild: makes a message of the fields of its JSON object, role and content included.
    """

    def __init__(self, policy: PrivacyPolicy, *, rebuild: Callable[[dict[str, Any]], Message]) -> None:
        self._rebuild = rebuild
        self._patterns: list[tuple[Pattern, str]] = []
        # A user's own come first: they know better what a text in their house means.
        for own in policy.patterns:
            instead = own.replacement if own.replacement is not None else policy.replacement
            self._patterns.append((compile_pattern(own.name, own.regex), instead.replace("{kind}", own.name)))
        for name in policy.redact:
            instead = policy.replacement.replace("{kind}", name)
            self._patterns += [(pattern, instead) for pattern in builtin(name)]

    def redact(self, message: Message) -> tuple[Message, Counter[str]]:
        """Return the message as it may be stored, and how often each kind was found.

        Raises:
            PrivacyFailed: it could not be searched; it must not be stored then.
        """
        found: Counter[str] = Counter()
        try:
            if not message.fields:
                content = self._text(message.content, found)
                return (Message(message.role, content) if found else message), found
            fields = self._value(_decode(message.fields), found, MAX_DEPTH)
            content = self._text(message.content, found)
            if not found:
                return message, found
            if "content" not in fields:  # otherwise it is null or a list of parts
                fields["content"] = content
            fields["role"] = message.role
        except PrivacyFailed:
            raise
        except Exception as problem:
            raise PrivacyFailed(type(problem).__name__) from None  # its text may hold a part of the message
        return self._rebuilt(fields), found

    def _rebuilt(self, fields: dict[str, Any]) -> Message:
        try:
            return self._rebuild(fields)
        except Exception as problem:
            raise PrivacyFailed(f"making the message anew: {type(problem).__name__}") from None

    def _value(self, value: Any, found: Counter[str], depth: int, *, said: bool = False) -> Any:
        """Return a JSON value with every text in it searched; `said`: it is of a call's arguments."""
        if not depth:
            raise PrivacyFailed(f"the message is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, str):
            return self._text(value, found)
        if isinstance(value, int):
            return self._number(value, found)
        if isinstance(value, list):
            return [self._value(each, found, depth - 1, said=said) for each in value]
        if isinstance(value, dict):
            return self._object(value, found, depth - 1, said=said)
        return value

    def _number(self, number: int, found: Counter[str]) -> int | str:
        """Return a whole number, or the text that stands in its place where a pattern finds something in it."""
        if number < SHORTEST_NUMBER:
            return number
        text = str(number)
        clean = self._text(text, found)
        return number if clean == text else clean

    def _object(self, fields: dict[str, Any], found: Counter[str], depth: int, *, said: bool) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        times = Counter[str]()
        for name in fields:
            value = (
                self._value(fields[name], found, depth, said=True) if said else self._field(name, fields, found, depth)
            )
            kept = new = self._text(name, found)
            while new in clean or (new != name and new in fields):  # two names may have the same replacement
                times[kept] += 1
                new = f"{kept} {times[kept] + 1}"
            clean[new] = value
        return clean

    def _field(self, name: str, siblings: dict[str, Any], found: Counter[str], depth: int) -> Any:
        """Return the value of one field of an object, searched."""
        value = siblings[name]
        if isinstance(value, str):
            is_function = "arguments" in siblings and "name" in siblings
            if name in STRUCTURE or (name == "name" and is_function) or _is_file(name, siblings):
                return value
            if name == "arguments" and is_function:
                return self._json_text(value, found, depth)
        return self._value(value, found, depth)

    def _json_text(self, text: str, found: Counter[str], depth: int) -> str:
        """Search JSON in a text by its values, so that no escape hides what they say."""
        try:
            value = _decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return self._text(text, found)
        here: Counter[str] = Counter()
        clean = self._value(value, here, depth, said=True)
        if not here:
            return text
        found.update(here)
        return _encode(clean).decode()

    def _text(self, text: str, found: Counter[str]) -> str:
        """Return a text with everything taken out that a pattern finds, the earlier patterns first."""
        if len(text) < 2:
            return text
        spans: list[_Span] = []
        for pattern, instead in self._patterns:
            for match in pattern.regex.finditer(text):
                start, end = match.span(1) if pattern.regex.groups and match.start(1) >= 0 else match.span()
                for first, last in pattern.find(text[start:end]):
                    spans.append(_Span(start + first, start + last, pattern.kind, instead))
        return _replaced(text, spans, found) if spans else text


def _is_file(name: str, siblings: dict[str, Any]) -> bool:
    """Whether a field holds an encoded file. Elsewhere `data` is a word, and "data: …" the begin of a sentence."""
    if name == "data":
        return not FORMATS.isdisjoint(siblings)
    if name in URLS:
        return siblings[name].startswith("data:") and ";base64," in siblings[name][:LONGEST_MEDIA_TYPE]
    return name == "file_data"


def _replaced(text: str, spans: list[_Span], found: Counter[str]) -> str:
    """Put the replacements in; of those that overlap the one that begins first has its way, for all that they cover."""
    pieces: list[str] = []
    position = 0
    # The longest first: the order of the patterns decides only between equals.
    for start, end, kind, instead in sorted(spans, key=lambda span: (span.start, -span.end)):
        if start >= position:
            pieces += (text[position:start], instead)
            found[kind] += 1
        position = max(position, end)  # an end that sticks out must go too
    pieces.append(text[position:])
    return "".join(pieces)
