"""The names of a memory's keys on Redis.

The layout is the contract between every process that serves a memory: one hash slot per memory, the type first,
so that no key of a user can collide. `SS` (two hex digits) spreads memories over 256 hash tags; the outbox has
one sorted set per tag and project, so that the append script can write it in the same slot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

SHARDS = 256
"""Number of hash tags: enough to spread the largest cluster, few enough for a sweep to look at all of them."""

BELONGINGS = 7
"""Number of `MemoryKeys.belongings`."""

CACHED_NAMES = 16_384
"""Names kept ready. A name costs about 1 kB; a sidecar rarely serves more memories at the same time."""

_MUST_ENCODE = re.compile(r"[^!-9;-z|~]|%")


@dataclass(frozen=True, slots=True)
class MemoryKeys:
    """The names on Redis of everything that belongs to one memory.

    `name` (`project:definition:instance`, encoded) is also the member in the outbox and names the workflow. `wake` is
    no key but the channel on which those who wait are told of an append, or of a released lock.

    `work`, `aside`, `brief` and `next` are a running flush's: its plan and summary, copies of what goes, what is
    shortened, and the log that is to be. `undo` and `was` are what the last flush took, and what the memory was before
    it. `seen` holds when a read last returned each message.
    """

    name: str
    log: str
    meta: str
    keep: str
    work: str
    aside: str
    brief: str
    next: str
    undo: str
    was: str
    seen: str
    due: str
    lock: str
    wake: str

    @property
    def belongings(self) -> tuple[str, ...]:
        """The keys that mean nothing without the present content: whoever empties the memory removes them."""
        return self.work, self.aside, self.brief, self.next, self.undo, self.was, self.seen

    def idem(self, token: str) -> str:
        """Return the key that keeps the reply of the append which the caller named `token`."""
        return f"{self.log.replace(':log:', ':idem:', 1)}:{encode(token)}"

    def fork(self, run: str) -> str:
        """Return the key where a copy is gathered until it is whole; `run` tells copies apart."""
        return f"{self.log.replace(':log:', ':fork:', 1)}:{run}"


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Where a deployment keeps its memories: `prefix` of all keys, and `project`, which separates tenants."""

    prefix: str = "mem"
    project: str = "default"

    def keys(self, definition: str, instance: str) -> MemoryKeys:
        """Return the key names of one memory. Cached, because every command asks for them."""
        return _keys(self.prefix, self.project, definition, instance)

    def outbox(self, shard: int) -> str:
        """Return the name of the outbox of one shard (0 to `SHARDS` - 1)."""
        return f"{self.prefix}:due:{{{shard:02x}}}:{encode(self.project)}"

    @property
    def probe(self) -> str:
        """The key with which a process tries whether Redis can be used."""
        return f"{self.prefix}:probe:{{00}}:{encode(self.project)}"

    def parse(self, name: str) -> tuple[str, str]:
        """Split a `MemoryKeys.name` of this project into definition id and instance.

        Raises:
            ValueError: if the name is not one of this project's.
        """
        project, definition, instance = (decode(part) for part in name.split(":"))
        if project != self.project:
            raise ValueError(f"'{name}' belongs to another project than '{self.project}'")
        return definition, instance


@lru_cache(maxsize=CACHED_NAMES)
def _keys(prefix: str, project: str, definition: str, instance: str) -> MemoryKeys:
    name = f"{encode(project)}:{encode(definition)}:{encode(instance)}"
    tag = f"{{{crc32(name.encode()) % SHARDS:02x}}}"
    return MemoryKeys(
        name=name,
        log=f"{prefix}:log:{tag}:{name}",
        meta=f"{prefix}:meta:{tag}:{name}",
        keep=f"{prefix}:keep:{tag}:{name}",
        work=f"{prefix}:work:{tag}:{name}",
        aside=f"{prefix}:aside:{tag}:{name}",
        brief=f"{prefix}:brief:{tag}:{name}",
        next=f"{prefix}:next:{tag}:{name}",
        undo=f"{prefix}:undo:{tag}:{name}",
        was=f"{prefix}:was:{tag}:{name}",
        seen=f"{prefix}:seen:{tag}:{name}",
        due=f"{prefix}:due:{tag}:{encode(project)}",
        lock=f"{prefix}:lock:{tag}:{name}",
        wake=f"{prefix}:wake:{tag}:{name}",
    )


def encode(part: str) -> str:
    """Percent-encode `:`, `{`, `}`, `%` and every byte outside printable ASCII."""
    if not _MUST_ENCODE.search(part):
        return part
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte not in b":{}%" else f"%{byte:02X}" for byte in part.encode()
    )


def decode(part: str) -> str:
    """Undo `encode`."""
    if "%" not in part:
        return part
    raw = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), part.encode())
    return raw.decode()
