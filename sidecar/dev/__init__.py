"""`memsidecar dev`: everything that a laptop needs for memsidecar, started and stopped with one command.

`launcher` is the entry. `plan` decides what runs where, `servers` knows the command lines of the programs,
`processes` starts and ends them, `binaries`, `ports` and `probes` answer questions about the machine.
The counterparts are the command line, which calls `launcher.run_dev`, and the tests, which start their real
servers with the same classes. Nothing of the sidecar or the worker itself is imported here: they run as
processes of their own, as in production, and get their settings through the environment.
"""

from __future__ import annotations

from sidecar.dev.launcher import DevOptions, run_dev

__all__ = ["DevOptions", "run_dev"]
