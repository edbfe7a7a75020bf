"""Measures memsidecar against the same work on Redis directly: `make bench`, described in README.md beside this file.

Reading order: `goals` and `rows` (what is promised), `scenario` (what is measured), `append`, `contention`, `counting`,
`read`, `chat`, `forward`, `ceiling` (the scenarios), `stage` (the servers), `client` and `generator` (the load),
`harness` (the rounds), `results`, `scorecard`, `tables` and `plot` (what comes out). `resident` and `workers` have
processes of their own. Then the flushes: `flush_latency` and `flush_storm` over `flush_stage`, with the load of
`open_loop`; and `fifty_thousand`, which measures nothing and shows that nothing is lost. `instructions` counts what the
hot paths execute, over `callgrind` and `lockstep`. What two runs say about each other is told by `compare`, over
`result_file`, `verdicts` and `rank_sum`. The package `peers` compares with other libraries' memories, and
has a command line of its own.
"""

from __future__ import annotations
