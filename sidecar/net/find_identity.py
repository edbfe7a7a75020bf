"""What a client's connection needs in order to run MEM commands as the client's own user; see `net.identities`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sidecar.errors import ReplyableError
from sidecar.memory.requests import Request
from sidecar.resp.watched import Credentials


class Identity(Protocol):
    """As whom MEM commands of a client run; `net.identities.Identity` is one."""

    def execute(self, request: Request, done: Callable[[object], None]) -> None:
        """Run a request and call back with its result or exception."""

    def stop(self, request: Request) -> None:
        """End the wait of a request that is being executed."""

    def release(self) -> None:
        """Give it back."""


class FindIdentity(Protocol):
    """Finds out as whom a client's commands run; see `net.identities.Identities.identify`."""

    def __call__(
        self,
        candidates: Sequence[Credentials | None],
        user: bytes | None,
        done: Callable[[Identity | ReplyableError], None],
    ) -> None: ...
