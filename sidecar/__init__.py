"""memsidecar: conversation memory for LLM agents, spoken over the Redis protocol.

A sidecar process between a program and its Redis. The program uses any Redis client; the sidecar answers the
MEM commands and forwards everything else. The counterpart is the command line in `sidecar.cli`.

This module holds only the version. It imports nothing, because every module below it, the Temporal workflow
included, imports it first.
"""

from __future__ import annotations

__version__ = "0.1.0"
