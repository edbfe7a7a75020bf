"""Writes a read's result as the `messages` of an OpenAI *Create chat completion* request.

Only fields that the API knows are written: it refuses a request with others. What else a message carries (META, fields
of other vendors) comes back in the map of FORMAT RESP. A conversation that ends with tool calls whose results are still
to come is written as it is: whoever runs the tools appends the results before the request is sent.
"""

from __future__ import annotations

import msgspec

from sidecar.memory.message import PROTECTED_ROLES, SUMMARY_HEADING, StoredMessage
from sidecar.memory.results import ReadResult

KNOWN_FIELDS = {
    "system": ("name",),
    "developer": ("name",),
    "user": ("name",),
    "assistant": ("name", "refusal", "audio", "function_call", "tool_calls"),
    "tool": ("tool_call_id",),
}
"""What a message of each role may carry besides role and content: the types ChatCompletion…MessageParam."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def to_openai(result: ReadResult) -> bytes:
    """Return a JSON array, built from stored pieces: only contents are encoded, other fields are JSON already.

    The summary stands behind the leading instructions, as a system message of its own.
    """
    parts = [_message(message) for message in result.messages]
    if result.summary:
        leading = 0
        while leading < len(parts) and result.messages[leading].role in PROTECTED_ROLES:
            leading += 1
        parts.insert(leading, b'{"role":"system","content":%b}' % _encode(SUMMARY_HEADING + result.summary))
    return b"[%b]" % b",".join(parts)


def _message(message: StoredMessage) -> bytes:
    role = message.role
    if message.fields is None:
        if role == "tool":  # stored as a pair, so nobody knows whose call it answers; the API takes none without
            return b'{"role":"user","content":%b}' % _encode(f"Result of a tool:\n{message.content}")
        return b'{"role":"%b","content":%b}' % (role.encode(), _encode(message.content))
    fields = _decode(message.fields)
    if role == "tool" and "tool_call_id" not in fields:
        return b'{"role":"user","content":%b}' % _given(_content(message, fields))
    known = [(name, fields[name]) for name in KNOWN_FIELDS[role] if name in fields and _is_given(name, fields[name])]
    content = _content(message, fields)
    if not any(name in ("tool_calls", "function_call", "audio") for name, _ in known):
        content = _given(content)
    written = b"".join(b',"%b":%b' % (name.encode(), bytes(value)) for name, value in known)
    return b'{"role":"%b","content":%b%b}' % (role.encode(), content, written)


def _content(message: StoredMessage, fields: dict[str, msgspec.Raw]) -> bytes:
    """Return the content: a text, null or a list of parts; the latter two are stored among the fields."""
    if not message.content and "content" in fields:
        return bytes(fields["content"])
    return _encode(message.content)


def _given(content: bytes) -> bytes:
    """Return a content that is not null, which only a message that says something otherwise may have."""
    return b'""' if content == b"null" else content


def _is_given(name: str, value: msgspec.Raw) -> bool:
    """Whether a field says something. An empty list of tool calls, and null but for a refusal, the API refuses."""
    text = bytes(value).strip()
    return text != b"[]" and (text != b"null" or name in ("refusal", "audio"))
