"""What can go wrong when programs are started on this machine, and the text each problem shows.

    DevProblem
    ├── ProgramMissing      a program is neither installed nor among the packages
    ├── PortBusy            somebody listens where we were told to listen
    ├── DataInUse           another run uses the data directory
    ├── BadOption           options that contradict each other, or name what does not exist
    ├── ChildFailed         a program ended although nobody asked it to
    └── ChildNotReady       a program runs and does not become ready

Every one of them is meant for the person at the terminal: it says what was wrong and what to do, and needs no
traceback. Errors of the running sidecar are in `sidecar.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sidecar.errors import MemsidecarError

SHOWN_LINES = 30
"""Lines of a program's output in an error text: enough for a traceback, few enough for a terminal."""


class DevProblem(MemsidecarError):
    """Root of everything that stops `memsidecar dev` with a text instead of a traceback."""


class ProgramMissing(DevProblem):
    """`searched` names the places in the order in which they were looked at, `remedy` what to install."""

    def __init__(self, program: str, *, searched: Sequence[str], remedy: str) -> None:
        super().__init__(f"{program} was not found ({', '.join(searched)}); {remedy}")
        self.program = program


class PortBusy(DevProblem):
    """`option` is the command-line option that names another port."""

    def __init__(self, port: int, *, purpose: str, option: str) -> None:
        super().__init__(
            f"port {port} on 127.0.0.1, which {purpose} would use, is taken; "
            f"stop what listens there, or name another port with {option}"
        )
        self.port = port


class DataInUse(DevProblem):
    """Two servers on the same files would destroy them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"the data directory {directory} is in use by another memsidecar dev; "
            "stop that one, or name another directory with --data"
        )


class BadOption(DevProblem):
    """Options that contradict each other, or name what does not exist."""


class ChildFailed(DevProblem):
    """`exit_code` is negative where a signal ended the program; `tail` is what it printed last."""

    def __init__(self, name: str, *, exit_code: int, tail: Sequence[str]) -> None:
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        super().__init__(f"{name} {how}. {_last_lines(tail)}")
        self.name = name
        self.exit_code = exit_code


class ChildNotReady(DevProblem):
    """`limit_s` is how long was waited, `sign` what did not come."""

    def __init__(self, name: str, *, limit_s: float, sign: str, tail: Sequence[str]) -> None:
        super().__init__(f"{name} was not ready after {limit_s:g} s: {sign}. {_last_lines(tail)}")
        self.name = name


def _last_lines(tail: Sequence[str]) -> str:
    if not tail:
        return "It printed nothing."
    return "\n".join(["Its last lines:", *(f"    {line}" for line in tail[-SHOWN_LINES:])])
