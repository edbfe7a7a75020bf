"""What one client may ask for at a time."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.resp.requests import MAX_REQUEST_BYTES

MAX_PENDING_COMMANDS = 1_024
"""Most commands of one client that may wait or run; more stay in the socket. Pipelines are rarely longer."""

MAX_RUNNING_COMMANDS = 128
"""Most MEM commands of one client that run at once: bounds the replies that are made for a client that reads none."""

MAX_PENDING_BYTES = 4 * 1024 * 1024
"""Most bytes of one client's commands that may wait, or run as MEM commands; more stay in the socket."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for; more is refused (`request_bytes`) or stays in the socket."""

    request_bytes: int = MAX_REQUEST_BYTES
    pending_commands: int = MAX_PENDING_COMMANDS
