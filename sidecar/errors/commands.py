"""The caller's mistakes, and what a command runs into on its own memory."""

from __future__ import annotations

from sidecar.errors.root import ReplyableError


class CommandError(ReplyableError):
    """The caller's mistake. Nothing was stored; the connection lives. Most texts quote what the caller sent."""

    @property
    def logged(self) -> str:
        return self.prefix


class SyntaxProblem(CommandError):
    """Wrong arity, unknown option, or an argument of the wrong type."""

    @classmethod
    def arity(cls, command: str) -> SyntaxProblem:
        """Redis's own wording, on which some clients match."""
        return cls(f"wrong number of arguments for '{command.lower()}' command")


class UnknownMemory(CommandError):
    """The key names no memory definition, and `strict` forbids falling back to `default`."""

    prefix = "NOMEMORY"

    def __init__(self, key: str, known: list[str]) -> None:
        super().__init__(
            f"no memory definition for key '{key}'; write it as definition:instance with one of: {', '.join(known)}"
        )

    @classmethod
    def definition(cls, name: str, known: list[str]) -> UnknownMemory:
        """For a definition that is named by itself, not in a key."""
        problem = cls(name, known)
        problem.args = (f"no memory definition '{name}'; use one of: {', '.join(known)}",)
        return problem


class BadKey(CommandError):
    """The instance part of the key is not valid."""

    prefix = "BADKEY"


class TemplateProblem(CommandError):
    """A key is a template that does not render."""

    prefix = "TEMPLATE"


class BadMessage(CommandError):
    """A message that cannot be stored: role, encoding, JSON shape or size."""

    prefix = "BADMESSAGE"


class Forbidden(CommandError):
    """The definition is read-only. Never Redis's READONLY, on which clients retry."""

    prefix = "FORBIDDEN"

    def __init__(self, definition: str) -> None:
        super().__init__(
            f"the definition '{definition}' is read-only here; "
            "its memories can be read and not changed, use a definition with mode: read-write"
        )


class Locked(CommandError):
    """Somebody else holds the lease, and it did not come free within the wait."""

    prefix = "LOCKED"

    def __init__(self, left_ms: int, waited_ms: int) -> None:
        super().__init__(
            f"somebody else holds the lock of this memory for {left_ms} ms more; it did not come free within "
            f"{waited_ms} ms, nothing was changed; try again then"
        )
        self.left_ms = left_ms


class StaleLock(CommandError):
    """The token presented is no longer the holder's."""

    prefix = "STALELOCK"

    def __init__(self) -> None:
        super().__init__(
            "this token does not hold the lock of the memory any more, it ran out or was released; nothing was "
            "changed, take a new one with MEMLOCK"
        )


class OverBudget(CommandError):
    """More than the definition lets a memory hold, or a message that alone exceeds a read's budget."""

    prefix = "OVERBUDGET"


class PrivacyFailed(CommandError):
    """Redaction failed, so nothing was stored. The text names the step, never what was in the message."""

    prefix = "PRIVACY"
    clients_fault = False

    def __init__(self, where: str) -> None:
        super().__init__(f"redaction failed ({where}); nothing was stored")


class NotEmpty(CommandError):
    """The target of a copy has a content."""

    def __init__(self) -> None:
        super().__init__("the target of MEMFORK is not empty; nothing was copied, clear it or name another one")


class SourceMoved(CommandError):
    """The source of a copy lost messages, or was replaced, each time that it was copied."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            f"the source of MEMFORK lost messages during each of {tries} copies; the target is empty, try again later"
        )


class FlushFailed(CommandError):
    """The flush that the caller waited for ended in an error; it says whether the memory is as it was for certain."""

    prefix = "FLUSHFAILED"
    clients_fault = False


class FlushTimeout(CommandError):
    """The flush that the caller waited for goes on; its outcome did not come in time."""

    prefix = "TIMEOUT"

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"the flush was not done within {wait_ms} ms; it goes on, MEMINFO shows its outcome")
