"""Writes a read's result as the `messages` of an OpenAI *Create chat completion* request."""

from __future__ import annotations

import msgspec

from sidecar.memory.message import PROTECTED_ROLES, SUMMARY_HEADING, StoredMessage
from sidecar.memory.results import ReadResult

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
    role = message.role.encode()
    if message.fields is None:
        return b'{"role":"%b","content":%b}' % (role, _encode(message.content))
    fields = message.fields.encode()[1:-1]
    if not message.content and "content" in _decode(message.fields):  # null or a list of parts
        return b'{"role":"%b",%b}' % (role, fields)
    return b'{"role":"%b","content":%b,%b}' % (role, _encode(message.content), fields)
