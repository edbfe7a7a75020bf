"""The name of a memory's flush, the same in both engines and in every process."""

from __future__ import annotations

import re
from hashlib import sha256

LONGEST_PLAIN_NAME = 200
"""Characters of a memory's name that are shown as they are. Temporal allows ids of 1,000 bytes; lists in its
UI and in logs are readable to about 200."""

_ID = re.compile(r"memflush:\S+")


def workflow_id(name: str) -> str:
    """Return the id of the flush of the memory called `name` (`MemoryKeys.name`), the same for every run.

    A long name is replaced by its SHA-256. No plain id looks like that, because a plain one has colons in it.
    """
    if len(name) > LONGEST_PLAIN_NAME:
        name = sha256(name.encode()).hexdigest()
    return f"memflush:{name}"


def without_ids(text: str) -> str:
    """Return a text of Temporal's without the ids of flushes, which hold names of memories. They have no blank."""
    return _ID.sub("memflush:…", text)
