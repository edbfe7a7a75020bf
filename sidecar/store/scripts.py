"""The Lua scripts that ship in the package.

Loads text and knows its SHA-1; how a script is sent (EVALSHA, and EVAL where the server does not know it yet)
is up to the two stores, which speak to Redis in different ways. A line `-- include: name` stands for the file
`lua/parts/name.lua`, in whatever block it is: what several scripts must do alike is written once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

_INCLUDE = re.compile(r"^ *-- include: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its file's name without `.lua`, its text, and the SHA-1 by which EVALSHA calls it."""

    name: str
    source: str
    sha: str


@cache
def load(name: str) -> Script:
    """Return the script `lua/<name>.lua` with the parts that it includes, read once per process.

    Raises:
        FileNotFoundError: the package has no such script.
    """
    source = _INCLUDE.sub(lambda found: _read(f"parts/{found[1]}"), _read(name))
    # Redis's own choice of hash; it identifies a text and protects nothing.
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return files("sidecar.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
