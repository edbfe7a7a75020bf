"""Entries of a memory's log as redis-py returns them, as messages.

An append refuses what is no UTF-8 and what has no count; a hand-made entry must not stop a flush.
"""

from __future__ import annotations

from sidecar.memory.stored_message import StoredMessage


def to_text(value: bytes | None) -> str:
    """Decode what was stored, whatever it is; "" for None."""
    return "" if value is None else value.decode(errors="replace")


def to_number(value: bytes) -> int:
    """Return a stored count; 0 for what is none."""
    return int(value) if value.isdigit() else 0


def to_message(id_: str, fields: dict[bytes, bytes]) -> StoredMessage:
    """Return an entry of a log as a message."""
    others = fields.get(b"x")
    return StoredMessage(
        id=id_,
        role=to_text(fields.get(b"r")),
        content=to_text(fields.get(b"c")),
        tokens=to_number(fields.get(b"n", b"")),
        fields=None if others is None else to_text(others),
    )
