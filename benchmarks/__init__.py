"""Measures memsidecar against the same work on Redis directly: `make bench`, described in README.md beside this file.

Reading order: `scenario` (what is measured), `append`, `read`, `forward`, `ceiling` (the scenarios), `stage` (the
servers), `client` and `generator` (the load), `harness` (the rounds), `results` and `tables` (what comes out). Then the
flushes: `flush_latency` and `flush_storm` over `flush_stage`, with the load of `open_loop`; and `fifty_thousand`, which
measures nothing and shows that nothing is lost.
"""

from __future__ import annotations
