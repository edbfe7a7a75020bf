"""From the key that a client writes to the memory that it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.errors import BadKey, UnknownMemory
from sidecar.memory.catalogue import Catalogue
from sidecar.memory.definition import Definition
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


Context = Mapping[str, Any]
"""What templates may name: a JSON object."""

NO_CONTEXT: Context = {}

Render = Callable[[str, Context], str]
"""Renders a template, or raises `TemplateProblem`; `sidecar.templates.engine` has one."""


class Addressing:
    """Resolves client keys.

    Args:
        catalogue: the definitions in force.
        space: where this deployment keeps its memories.
        render: renders keys, and key templates of definitions, that hold `{{`.
    """

    def __init__(self, catalogue: Catalogue, space: KeySpace, render: Render) -> None:
        self._catalogue = catalogue
        self._space = space
        self._render = render
        self._known = catalogue.by_id
        self._resolved: dict[bytes, Memory] = {}

    def resolve(self, key: bytes, context: Context = NO_CONTEXT) -> Memory:
        """Return the memory that a client's key names.

        Raises:
            BadKey: the instance is empty, too long or holds a byte that is not allowed.
            UnknownMemory: no definition takes the key.
            TemplateProblem: the key, or the key template of its definition, does not render in this context.
        """
        if self._known is not self._catalogue.by_id:  # the definitions were read anew
            self._known = self._catalogue.by_id
            self._resolved.clear()
        memory = self._resolved.get(key)
        if memory is not None:
            return memory
        if b"{{" in key:
            return self._memory(*self._split(self._rendered(key, context).encode()))
        definition, instance = self._split(key)
        if instance:
            memory = self._memory(definition, instance)
            if len(self._resolved) >= CACHED_ADDRESSES:
                self._resolved.clear()
            self._resolved[key] = memory
            return memory
        return self._memory(definition, self._by_template(definition, context))

    def _memory(self, definition: Definition, instance: str) -> Memory:
        if not instance:
            raise BadKey(f"'{definition.id}' names a definition but no instance; write {definition.id}:<instance>")
        return Memory(definition, instance, self._space.keys(definition.id, instance))

    def _rendered(self, key: bytes, context: Context) -> str:
        try:
            template = key.decode()
        except UnicodeDecodeError as problem:
            raise BadKey(f"byte 0x{key[problem.start]:02x} at offset {problem.start} is no UTF-8") from problem
        return self._render(template, context)

    def _by_template(self, definition: Definition, context: Context) -> str:
        """Return the instance that a bare definition id stands for."""
        if definition.key_template is None:
            return ""
        instance = self._render(definition.key_template, context)
        _check(instance.encode())
        return instance

    def _split(self, key: bytes) -> tuple[Definition, str]:
        """Return definition and instance; the instance is empty where the key is a bare definition id."""
        bad = _FORBIDDEN.search(key)
        if bad:
            raise _bad_byte(key, bad.start())
        text = key.decode()
        head, separator, instance = text.partition(":")
        definition = self._catalogue.get(head)
        if definition is None:
            definition, instance = self._catalogue.fallback, text
            if definition is None:
                raise UnknownMemory(text[:MAX_INSTANCE_BYTES], sorted(self._catalogue))
            separator = ":"
        if separator:
            _check(instance.encode())
        return definition, instance


def _check(instance: bytes) -> None:
    bad = _FORBIDDEN.search(instance)
    if bad:
        raise _bad_byte(instance, bad.start())
    if not instance:
        raise BadKey("the instance is empty; write definition:instance")
    if len(instance) > MAX_INSTANCE_BYTES:
        raise BadKey(f"the instance has {len(instance)} bytes; at most {MAX_INSTANCE_BYTES} are allowed")


def _bad_byte(key: bytes, at: int) -> BadKey:
    return BadKey(f"{_shown(key[at : at + 1])} at offset {at} is not allowed in a key; use A-Z a-z 0-9 _ . - : @ / *")


def _shown(byte: bytes) -> str:
    return f"'{byte.decode()}'" if 0x20 < byte[0] < 0x7F else f"byte 0x{byte[0]:02x}"
