"""The differential corpus: the same command sequences on Redis directly and through a sidecar, byte by byte.

`corpus/*.seq` are the sequences, `script` reads them, `stage` plays them on one of the two ways, `rules` says what may
differ, `mixing` puts MEM commands in between, and `comparison` tells what was different.
"""

from __future__ import annotations
