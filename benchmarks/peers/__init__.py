"""Measures memsidecar against other libraries' memories on Redis: `make bench-peers`, described in ../README.md.

Reading order: `catalogue` (who the peers are, and what each of them guarantees), `drivers.protocol` and the scripts
beside it (one library's memory each, in an environment of its own), `crew` (their processes), `books` (what was
acknowledged against what is there), `work` (what is measured), `runner` (the rounds and the promises), `tables` (what
comes out).
"""

from __future__ import annotations
