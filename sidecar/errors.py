"""Every exception that memsidecar raises on purpose, and the text each one shows.

    MemsidecarError
    ├── CommandError                the caller's mistake: an error reply, the connection lives
    │   ├── SyntaxProblem           ERR
    │   ├── UnknownMemory           NOMEMORY
    │   ├── BadKey                  BADKEY
    │   ├── TemplateProblem         TEMPLATE
    │   ├── BadMessage              BADMESSAGE
    │   ├── Forbidden               FORBIDDEN, the definition is read-only
    │   ├── Locked                  LOCKED, somebody else holds the lease
    │   ├── StaleLock               STALELOCK, the token presented is no longer the holder's
    │   ├── OverBudget              OVERBUDGET, a limit of the memory, or of a read
    │   ├── PrivacyFailed           PRIVACY, redaction failed
    │   ├── NotEmpty                ERR, the target of a copy has a content
    │   ├── SourceMoved             ERR, the source of a copy kept losing messages
    │   ├── FlushFailed             FLUSHFAILED
    │   └── FlushTimeout            TIMEOUT
    ├── UpstreamError               trouble behind us: an error reply that says whether anything was written
    │   ├── NotIdentified           NOAUTH, as whom the command should run is not known
    │   ├── TooManyIdentities       ERR, more Redis users at a time than are served
    │   ├── RedisRefused            Redis's own first word (NOPERM, OOM, LOADING …), passed on as it is
    │   ├── Unavailable             UNAVAILABLE, nothing was sent
    │   ├── WaitEnded               UNAVAILABLE, a wait for a lock was ended
    │   └── Uncertain               UNCERTAIN, sent, outcome unknown
    ├── InternalError               ERR, a bug of ours
    ├── EngineUnavailable           the flush engine (Temporal) cannot be reached; the outbox keeps the mark
    ├── FlushRefused                a commit that came too late or twice (never an error to the user)
    ├── FlushLocked                 a commit that somebody's lease on the memory keeps out for now
    ├── DeputyLost                  the process that worked on a large flush ended in the middle
    ├── DeputyMissing               there is no such process, and the sidecar does the work itself
    ├── SummaryProblem              there is no summary, and the memory is as it was
    │   ├── SummariserUnavailable   it may answer later
    │   ├── SummariserRefused       it will not answer this, however often it is asked
    │   └── SummaryRejected         it answered, and that is no summary
    ├── ConfigurationError          start-up: every problem of the configuration at once
    └── …                           of token counting, see `sidecar.tokens.problems`

Exceptions take facts and build the text; `reply()` is the line that goes to the client, without the leading
`-`. A breach of the Redis protocol is not here: odd bytes are forwarded and Redis itself answers them.
Anything else that is raised is our bug: it is logged with its traceback and answered as `InternalError`.

Texts are for the client, and may quote it; `logged` is what a log may show of one.
"""

from __future__ import annotations

import re
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


class UpstreamError(ReplyableError):
    """Redis refused, or cannot be reached."""


_IN_SCRIPT = re.compile(r"ERR Error running script .*?@user_script: ?\d+: -?(?=[A-Z]+ )")
"""What Redis 6.2 puts in front of an error that a command inside a script met; Redis 7 puts it behind."""


_NOT_IN_SCRIPT = ("The user executing the script can't ", "ACL failure in script: ")
"""What Redis, before 7.2 and since, says, behind `ERR`, when the user may run scripts and not what they do."""

_RIGHTS = (
    "NOPERM this user may not run a command, or touch a key, that memories need; "
    "grant +@read +@write +@scripting +@connection +time on the keys of its memories"
)


_QUOTES_NOTHING = re.compile(
    r"(?:BUSY|CLUSTERDOWN|DENIED|EXECABORT|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOREPLICAS|NOSCRIPT|OOM|READONLY|WRONGPASS"
    r"|WRONGTYPE|ERR max number of clients|ERR AUTH <password> called|ERR DB index|ERR invalid DB index)\b"
)
"""How Redis's errors begin that quote no user, no key and no argument of a command."""


def _unquoting(line: str) -> str:
    """Return what of an error of Redis quotes nothing: all, our own words for a missing right, or the first word."""
    if line.startswith("NOPERM"):
        return _RIGHTS
    if _QUOTES_NOTHING.match(line):
        return line
    word = line.partition(" ")[0]
    return word if re.fullmatch("[A-Z]{2,20}", word) else "an error"


class RedisRefused(UpstreamError):
    """Redis answered an error; it goes to the client as it is, its own first word (OOM, READONLY …) first.

    One is put in other words: inside a script a missing right is a plain `ERR`, and NOPERM everywhere else.
    """

    def __init__(self, line: str) -> None:
        self.line = _RIGHTS if any(sign in line for sign in _NOT_IN_SCRIPT) else _IN_SCRIPT.sub("", line)
        super().__init__(self.line)
        self.clients_fault = self.line.partition(" ")[0] in ("NOPERM", "NOAUTH", "WRONGPASS")
        self._logged = _unquoting(self.line)

    def reply(self, request: str = "") -> str:
        """Return Redis's line, and nothing but that."""
        return self.line.replace("\r", " ").replace("\n", " ")


class NotIdentified(UpstreamError):
    """The client is a user whose password it did not show us, so MEM commands cannot run as this user."""

    prefix = "NOAUTH"

    def __init__(self, user: bytes | None) -> None:
        who = f"user '{user.decode(errors='replace')}'" if user is not None else "this connection's user"
        super().__init__(f"memsidecar has seen no password that lets it act as {who}; send AUTH again")
        self._logged = self.prefix


class TooManyIdentities(UpstreamError):
    """Every user has a connection to Redis of its own, and their number is bounded."""

    clients_fault = False

    def __init__(self, most: int) -> None:
        super().__init__(
            f"memsidecar serves at most {most} Redis users at a time; "
            "wait until others have disconnected, or run another sidecar"
        )


class Unavailable(UpstreamError):
    """Nothing was sent, so the command can be sent again without a second thought.

    Args:
        why: in our words, the system's, or Redis's.
        logged: what of that a log may show; None: all of it.
    """

    prefix = "UNAVAILABLE"
    clients_fault = False

    def __init__(self, why: str, logged: str | None = None) -> None:
        super().__init__(f"Redis cannot be reached ({why}); nothing was sent, safe to retry")
        self._logged = f"Redis cannot be reached ({why if logged is None else logged})"


class WaitEnded(UpstreamError):
    """Or a wait for a lock was ended: the client sends nothing more, or memsidecar stops. The lock is not held."""

    prefix = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the wait for the lock was ended, as its client has gone or memsidecar stops; safe to retry")


class Uncertain(UpstreamError):
    """The command was sent and the connection broke before its reply came.

    Args:
        why, logged: as those of `Unavailable`.
    """

    prefix = "UNCERTAIN"
    clients_fault = False

    def __init__(self, why: str, logged: str | None = None) -> None:
        super().__init__(
            f"Redis went away after the command was sent ({why}); whether it was executed is not known, "
            "read the memory before sending it again; an append with IDEMPOTENT may be sent again as it is"
        )
        self._logged = f"Redis went away after a command was sent ({why if logged is None else logged})"


class InternalError(ReplyableError):
    """A bug of memsidecar; its log says what was raised, which may quote anything and is in no reply."""

    clients_fault = False

    def __init__(self) -> None:
        super().__init__("internal error of memsidecar; nothing is known to be stored, see its log")


class EngineUnavailable(MemsidecarError):
    """The flush engine cannot be reached. The mark stays in the outbox, so the flush comes later by itself.

    Args:
        text: what happened.
        logged: what of that a log may show; None: all of it.
    """

    def __init__(self, text: str, logged: str | None = None) -> None:
        super().__init__(text)
        self._logged = logged


class FlushRefused(MemsidecarError):
    """A flush step found that the memory has moved on (cleared, or another flush took over).

    `reason` is `stale-epoch` (the content was replaced), `stale-fence` (a later flush began, or messages were deleted),
    `lost-plan` (the staged plan has expired), `stale-plan` (a message of it was pinned, or somebody edited the stream
    itself), `no-summary` (none could be made, and the definition's fallback is `keep`) or `undo-busy` (somebody else
    undoes a flush of it). Nothing was changed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the flush was refused: {reason}; the memory is unchanged")
        self.reason = reason


class FlushLocked(MemsidecarError):
    """Somebody holds the lease on the memory: a commit must wait. Nothing was changed, and it may be tried again."""

    def __init__(self, left_ms: int) -> None:
        super().__init__(f"somebody holds the lock of the memory for {left_ms} ms more; the flush is tried again")
        self.left_ms = left_ms


class DeputyLost(MemsidecarError):
    """The process that does the work of large flushes for a sidecar ended in the middle. Nothing was changed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the process that worked on the flush was lost ({why}); the memory is unchanged")
        self.why = why


class DeputyMissing(MemsidecarError):
    """No process could be started for large flushes; whoever gets this does the work itself."""

    def __init__(self, why: str) -> None:
        super().__init__(f"large flushes have no process of their own ({why}); appends are slower while one runs")
        self.why = why


class SummaryProblem(MemsidecarError):
    """There is no summary. The text never holds what was to be summarised, nor an answer, nor a key.

    `reason` is one of few words, for metrics.
    """

    reason: str = "unavailable"

    @property
    def logged(self) -> str:
        """Its kind: a summariser may be another's code, and its text hold more than it should."""
        return f"{type(self).__name__}: {self.reason}"


class SummariserUnavailable(SummaryProblem):
    """The summariser did not answer, or had too much to do: the same request may succeed later.

    Args:
        retry_after_s: seconds after which it asked to be asked again; None: it did not say.
        why: what happened, in our words.
    """

    def __init__(self, retry_after_s: float | None = None, why: str = "it did not answer") -> None:
        when = "" if retry_after_s is None else f"; it asks for {retry_after_s:g} s of patience"
        super().__init__(f"the summariser is unavailable: {why}{when}")
        self.retry_after_s = retry_after_s


class SummariserRefused(SummaryProblem):
    """The summariser will not take the request: a key, a name of a model, a parameter. Asking again is of no use."""

    reason = "refused"

    def __init__(self, why: str) -> None:
        super().__init__(f"the summariser refused: {why}; check its options in the definitions")


class SummaryRejected(SummaryProblem):
    """What the summariser returned is no summary.

    `reason` is `empty`, `truncated`, `refusal` (it says that it cannot), `error` (an error page or object in place of
    a text) or `over-budget`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the summary was rejected: {reason}; nothing is removed for it")
        self.reason = reason


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
