"""Messages as `lua/read.lua` packs them: one string in MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md).

Redis's own `cmsgpack` is the counterpart. It knows one kind of string, which msgspec takes for text; what is no UTF-8
can only have been put there by hand, and must not break a read.
"""

from __future__ import annotations

import msgspec

from sidecar.memory.stored_message import StoredMessage

_decode = msgspec.msgpack.Decoder(list[StoredMessage], strict=False).decode  # counts are stored as text
_decode_parts = msgspec.msgpack.Decoder(list[list[msgspec.Raw]]).decode

_LENGTH_BYTES = {0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Bytes of the length of a string, by what comes before it; a shorter string has its length in that byte."""


def unpacked(packed: bytes) -> list[StoredMessage]:
    """Return the messages; b"" has none.

    Raises:
        ValueError: an entry has not the form in which appends write.
        LookupError: likewise.
    """
    if not packed:
        return []
    try:
        return _decode(packed)
    except UnicodeDecodeError:
        return [_message([_string(part) for part in parts]) for parts in _decode_parts(packed)]


def _string(part: msgspec.Raw) -> bytes:
    packed = bytes(part)
    return packed[1 + _LENGTH_BYTES.get(packed[0], 0) :]


def _message(parts: list[bytes]) -> StoredMessage:
    fields = parts[4].decode(errors="replace") if len(parts) > 4 else None
    return StoredMessage(parts[0].decode(), parts[1].decode(), parts[2].decode(errors="replace"), int(parts[3]), fields)
