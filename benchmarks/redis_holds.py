"""How long single commands held Redis, by Redis's own account: SLOWLOG, with the scripts under their names.

While Redis runs one command it answers nobody, so the longest one is what every client of this Redis may have to
wait. Counted is the command alone, without reading the request and writing the reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import redis

from sidecar.store import scripts

KEPT_ENTRIES = 100_000
"""How many commands Redis remembers meanwhile, some 200 bytes each."""

SLOWER_THAN_US = 500
"""Commands below it are not kept: a tenth of what is looked for, and a hundred times what an append takes."""


@dataclass(frozen=True, slots=True)
class Holds:
    """Longest time in ms that each script or command held Redis; only those above `SLOWER_THAN_US`."""

    longest_ms: dict[str, float] = field(default_factory=dict)


@contextmanager
def redis_holds(client: redis.Redis) -> Iterator[Holds]:
    """Watch a Redis while the block runs; what was found is there at its end. Replaces the settings of SLOWLOG."""
    client.config_set("slowlog-max-len", KEPT_ENTRIES)
    client.config_set("slowlog-log-slower-than", SLOWER_THAN_US)
    client.slowlog_reset()
    found = Holds()
    try:
        yield found
    finally:
        client.config_set("slowlog-log-slower-than", -1)
    answer: Any = client
    for entry in answer.slowlog_get(KEPT_ENTRIES):
        name = named(entry["command"].split(b" "))
        found.longest_ms[name] = max(found.longest_ms.get(name, 0.0), entry["duration"] / 1000)


def named(words: list[bytes]) -> str:
    """Return what a command is called: a script's name, else the command's."""
    command = words[0].decode().upper()
    if command == "EVALSHA" and len(words) > 1:
        sha = words[1].decode()
        return next((script.name for script in _all() if script.sha == sha), f"script {sha[:8]}")
    return command


def load_all_scripts(client: redis.Redis) -> None:
    """Let Redis know every script. Otherwise each one's first call sends its text, and has no name here."""
    for script in _all():
        client.script_load(script.source)


def _all() -> list[scripts.Script]:
    lua = files("sidecar.store").joinpath("lua")
    return [scripts.load(entry.name[: -len(".lua")]) for entry in lua.iterdir() if entry.name.endswith(".lua")]
