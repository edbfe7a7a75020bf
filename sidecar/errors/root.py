"""What all errors have in common: a text, a line for a client, and what a log may show of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

MAX_REPLY_CHARACTERS = 4_000
"""Longest error line of our own: it may repeat what a client sent, and nobody reads a model name of megabytes."""


class MemsidecarError(Exception):
    """Root of everything raised on purpose."""

    _logged: str | None = None

    @property
    def logged(self) -> str:
        """What a log may show of it: no name, key, user or text of a client's. The whole text where that has none."""
        return str(self) if self._logged is None else self._logged


class ReplyableError(MemsidecarError):
    """An error that a client sees as a Redis error reply whose first word is stable."""

    prefix: ClassVar[str] = "ERR"

    clients_fault: bool = True
    """Whether the client can do something about it. What it cannot is trouble for whoever runs memsidecar: the log has
    a line on it (see `net.command_log`)."""

    def reply(self, request: str = "") -> str:
        """Return the error line without `-` and line end; a line break in the text would split the reply.

        Args:
            request: the command's id in the log; "" where it is not there.
        """
        line = f"{self.prefix} {self}".replace("\r", " ").replace("\n", " ")
        if len(line) > MAX_REPLY_CHARACTERS:
            line = f"{line[: MAX_REPLY_CHARACTERS - 1]}…"
        return f"{line} (request {request})" if request else line


class InternalError(ReplyableError):
    """A bug of memsidecar; its log says what was raised, which may quote anything and is in no reply."""

    clients_fault = False

    def __init__(self) -> None:
        super().__init__("internal error of memsidecar; nothing is known to be stored, see its log")


class ConfigurationError(MemsidecarError):
    """The configuration is not usable. `problems` holds every finding, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def logged(problem: BaseException) -> str:
    """Return what a log may show of any exception: of ours `logged`, of the system's the text, of others the type."""
    if isinstance(problem, MemsidecarError):
        return problem.logged
    text = str(problem) if isinstance(problem, OSError) else ""
    return text or type(problem).__name__
