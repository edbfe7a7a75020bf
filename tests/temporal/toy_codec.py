"""A codec for tests: turns every byte around, which hides texts from a search and is easily undone."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING = b"binary/turned"


class Turning(PayloadCodec):
    """Xor with 0x5A, over the whole payload with its metadata."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(metadata={"encoding": ENCODING}, data=turned(payload.SerializeToString())) for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(turned(payload.data)) if payload.metadata.get("encoding") == ENCODING else payload
            for payload in payloads
        ]


def turned(data: bytes) -> bytes:
    """Turn the bytes around, or back."""
    return bytes(byte ^ 0x5A for byte in data)


made = Turning()

nothing = "no codec"


def broken() -> PayloadCodec:
    """Fail as a factory whose key is missing."""
    raise KeyError("THE_KEY")
