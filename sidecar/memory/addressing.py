"""From the key that a client writes to the memory that it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.errors import BadKey, UnknownMemory
from sidecar.memory.definition import DEFAULT_DEFINITION, Definition
from sidecar.memory.keys import KeySpace, MemoryKeys

MAX_INSTANCE_BYTES = 256
"""Longest instance name. Each memory has several keys that hold it, and so has every line of a log or UI."""

CACHED_ADDRESSES = 16_384
"""Client keys kept resolved, about 1 kB each. When full, all are forgotten: simpler than an order of use, as cheap."""

_FORBIDDEN = re.compile(rb"[^A-Za-z0-9_.\-:@/*]")


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory: its definition, the instance, and where it is on Redis."""

    definition: Definition
    instance: str
    keys: MemoryKeys


class Addressing:
    """Resolves client keys.

    Args:
        definitions: by id. Without `default` among them, or with `strict`, a key of no definition is refused.
        space: where this deployment keeps its memories.
    """

    def __init__(self, definitions: Mapping[str, Definition], space: KeySpace, *, strict: bool = False) -> None:
        self.definitions = definitions
        self._space = space
        self._fallback = None if strict else definitions.get(DEFAULT_DEFINITION)
        self._resolved: dict[bytes, Memory] = {}

    def resolve(self, key: bytes) -> Memory:
        """Return the memory that a client's key names.

        Raises:
            BadKey: the instance is empty, too long or holds a byte that is not allowed.
            UnknownMemory: no definition takes the key.
        """
        memory = self._resolved.get(key)
        if memory is None:
            definition, instance = self._split(key)
            memory = Memory(definition, instance, self._space.keys(definition.id, instance))
            if len(self._resolved) >= CACHED_ADDRESSES:
                self._resolved.clear()
            self._resolved[key] = memory
        return memory

    def _split(self, key: bytes) -> tuple[Definition, str]:
        bad = _FORBIDDEN.search(key)
        if bad:
            raise BadKey(
                f"{_shown(bad[0])} at offset {bad.start()} is not allowed in a key; use A-Z a-z 0-9 _ . - : @ / *"
            )
        text = key.decode()
        head, separator, instance = text.partition(":")
        definition = self.definitions.get(head)
        if definition is None:
            definition, instance = self._fallback, text
            if definition is None:
                raise UnknownMemory(text[:MAX_INSTANCE_BYTES], sorted(self.definitions))
        elif not separator:
            raise BadKey(f"'{text}' names a definition but no instance; write {text}:<instance>")
        if not instance:
            raise BadKey("the instance is empty; write definition:instance")
        if len(instance) > MAX_INSTANCE_BYTES:
            raise BadKey(f"the instance has {len(instance)} bytes; at most {MAX_INSTANCE_BYTES} are allowed")
        return definition, instance


def _shown(byte: bytes) -> str:
    return f"'{byte.decode()}'" if 0x20 < byte[0] < 0x7F else f"byte 0x{byte[0]:02x}"
