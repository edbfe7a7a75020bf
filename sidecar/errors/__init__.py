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

from sidecar.errors.commands import (
    BadKey,
    BadMessage,
    CommandError,
    FlushFailed,
    FlushTimeout,
    Forbidden,
    Locked,
    NotEmpty,
    OverBudget,
    PrivacyFailed,
    SourceMoved,
    StaleLock,
    SyntaxProblem,
    TemplateProblem,
    UnknownMemory,
)
from sidecar.errors.flushes import (
    DeputyLost,
    DeputyMissing,
    EngineUnavailable,
    FlushLocked,
    FlushRefused,
    SummariserRefused,
    SummariserUnavailable,
    SummaryProblem,
    SummaryRejected,
)
from sidecar.errors.root import (
    MAX_REPLY_CHARACTERS,
    ConfigurationError,
    InternalError,
    MemsidecarError,
    ReplyableError,
    logged,
)
from sidecar.errors.upstream import (
    NotIdentified,
    RedisRefused,
    TooManyIdentities,
    Unavailable,
    Uncertain,
    UpstreamError,
    WaitEnded,
)

__all__ = [
    "MAX_REPLY_CHARACTERS",
    "BadKey",
    "BadMessage",
    "CommandError",
    "ConfigurationError",
    "DeputyLost",
    "DeputyMissing",
    "EngineUnavailable",
    "FlushFailed",
    "FlushLocked",
    "FlushRefused",
    "FlushTimeout",
    "Forbidden",
    "InternalError",
    "Locked",
    "MemsidecarError",
    "NotEmpty",
    "NotIdentified",
    "OverBudget",
    "PrivacyFailed",
    "RedisRefused",
    "ReplyableError",
    "SourceMoved",
    "StaleLock",
    "SummariserRefused",
    "SummariserUnavailable",
    "SummaryProblem",
    "SummaryRejected",
    "SyntaxProblem",
    "TemplateProblem",
    "TooManyIdentities",
    "Unavailable",
    "Uncertain",
    "UnknownMemory",
    "UpstreamError",
    "WaitEnded",
    "logged",
]
