"""Every error text, in one table: clients switch on the first word, and people read the rest."""

from __future__ import annotations

import inspect

import pytest

from sidecar import errors
from sidecar.errors import (
    MAX_REPLY_CHARACTERS,
    BadKey,
    BadMessage,
    CommandError,
    ConfigurationError,
    DeputyLost,
    DeputyMissing,
    EngineUnavailable,
    FlushFailed,
    FlushLocked,
    FlushRefused,
    FlushTimeout,
    Forbidden,
    InternalError,
    Locked,
    MemsidecarError,
    NotEmpty,
    NotIdentified,
    OverBudget,
    PrivacyFailed,
    RedisRefused,
    ReplyableError,
    SourceMoved,
    StaleLock,
    SummariserRefused,
    SummariserUnavailable,
    SummaryProblem,
    SummaryRejected,
    SyntaxProblem,
    TemplateProblem,
    TooManyIdentities,
    Unavailable,
    Uncertain,
    UnknownMemory,
    UpstreamError,
    WaitEnded,
    logged,
)
from sidecar.resp import replies

REPLIES: list[tuple[ReplyableError, type[ReplyableError], str]] = [
    (SyntaxProblem("what is wrong"), CommandError, "ERR what is wrong"),
    (SyntaxProblem.arity("MEMREAD"), CommandError, "ERR wrong number of arguments for 'memread' command"),
    (
        UnknownMemory("foo:1", ["chat", "default"]),
        CommandError,
        "NOMEMORY no memory definition for key 'foo:1'; write it as definition:instance with one of: chat, default",
    ),
    (
        UnknownMemory.definition("foo", ["chat", "default"]),
        CommandError,
        "NOMEMORY no memory definition 'foo'; use one of: chat, default",
    ),
    (BadKey("the instance is empty"), CommandError, "BADKEY the instance is empty"),
    (TemplateProblem("there is no 'a'"), CommandError, "TEMPLATE there is no 'a'"),
    (
        Forbidden("archive"),
        CommandError,
        "FORBIDDEN the definition 'archive' is read-only here; its memories can be read and not changed, use a "
        "definition with mode: read-write",
    ),
    (
        Locked(1_500, 200),
        CommandError,
        "LOCKED somebody else holds the lock of this memory for 1500 ms more; it did not come free within 200 ms, "
        "nothing was changed; try again then",
    ),
    (
        StaleLock(),
        CommandError,
        "STALELOCK this token does not hold the lock of the memory any more, it ran out or was released; nothing was "
        "changed, take a new one with MEMLOCK",
    ),
    (OverBudget("the memory may hold 5 tokens"), CommandError, "OVERBUDGET the memory may hold 5 tokens"),
    (PrivacyFailed("KeyError"), CommandError, "PRIVACY redaction failed (KeyError); nothing was stored"),
    (
        NotEmpty(),
        CommandError,
        "ERR the target of MEMFORK is not empty; nothing was copied, clear it or name another one",
    ),
    (
        SourceMoved(5),
        CommandError,
        "ERR the source of MEMFORK lost messages during each of 5 copies; the target is empty, try again later",
    ),
    (BadMessage("message 1 is not a JSON object"), CommandError, "BADMESSAGE message 1 is not a JSON object"),
    (FlushFailed("the model is away"), CommandError, "FLUSHFAILED the model is away"),
    (
        FlushTimeout(250),
        CommandError,
        "TIMEOUT the flush was not done within 250 ms; it goes on, MEMINFO shows its outcome",
    ),
    (
        RedisRefused(
            "ERR The user executing the script can't run this command or subcommand script: 1ff, on @user_script:35."
        ),
        UpstreamError,
        "NOPERM this user may not run a command, or touch a key, that memories need; "
        "grant +@read +@write +@scripting +@connection +time on the keys of its memories",
    ),
    (RedisRefused("NOPERM no permission"), UpstreamError, "NOPERM no permission"),
    (
        NotIdentified(b"alice"),
        UpstreamError,
        "NOAUTH memsidecar has seen no password that lets it act as user 'alice'; send AUTH again",
    ),
    (
        NotIdentified(None),
        UpstreamError,
        "NOAUTH memsidecar has seen no password that lets it act as this connection's user; send AUTH again",
    ),
    (
        TooManyIdentities(2),
        UpstreamError,
        "ERR memsidecar serves at most 2 Redis users at a time; "
        "wait until others have disconnected, or run another sidecar",
    ),
    (
        Unavailable("connection refused"),
        UpstreamError,
        "UNAVAILABLE Redis cannot be reached (connection refused); nothing was sent, safe to retry",
    ),
    (
        WaitEnded(),
        UpstreamError,
        "UNAVAILABLE the wait for the lock was ended, as its client has gone or memsidecar stops; safe to retry",
    ),
    (
        Uncertain("connection closed"),
        UpstreamError,
        "UNCERTAIN Redis went away after the command was sent (connection closed); whether it was executed is not "
        "known, read the memory before sending it again; an append with IDEMPOTENT may be sent again as it is",
    ),
    (
        InternalError(),
        ReplyableError,
        "ERR internal error of memsidecar; nothing is known to be stored, see its log",
    ),
]

TEXTS: list[tuple[MemsidecarError, str]] = [
    (EngineUnavailable("Temporal is away"), "Temporal is away"),
    (FlushRefused("stale-epoch"), "the flush was refused: stale-epoch; the memory is unchanged"),
    (FlushLocked(70), "somebody holds the lock of the memory for 70 ms more; the flush is tried again"),
    (DeputyLost("signal 9"), "the process that worked on the flush was lost (signal 9); the memory is unchanged"),
    (
        DeputyMissing("no memory"),
        "large flushes have no process of their own (no memory); appends are slower while one runs",
    ),
    (SummariserUnavailable(), "the summariser is unavailable: it did not answer"),
    (
        SummariserUnavailable(2.5, "it has too many requests"),
        "the summariser is unavailable: it has too many requests; it asks for 2.5 s of patience",
    ),
    (
        SummariserRefused("HTTP 401"),
        "the summariser refused: HTTP 401; check its options in the definitions",
    ),
    (SummaryRejected("empty"), "the summary was rejected: empty; nothing is removed for it"),
    (ConfigurationError(["--listen: wrong", "file: wrong too"]), "--listen: wrong\nfile: wrong too"),
]


@pytest.mark.parametrize(("problem", "family", "line"), REPLIES, ids=lambda value: type(value).__name__)
def test_replies(problem: ReplyableError, family: type[ReplyableError], line: str) -> None:
    """Each reply is its stable first word and a text that says what was wrong and what to do."""
    assert problem.reply() == line
    assert isinstance(problem, family)
    assert line.split(" ")[0].isupper()


@pytest.mark.parametrize(("problem", "text"), TEXTS, ids=lambda value: type(value).__name__)
def test_texts(problem: MemsidecarError, text: str) -> None:
    """Errors that no client sees have texts too, and no reply."""
    assert str(problem) == text
    assert not isinstance(problem, ReplyableError)


QUOTED = "swordfish"

RIGHTS = (
    "NOPERM this user may not run a command, or touch a key, that memories need; "
    "grant +@read +@write +@scripting +@connection +time on the keys of its memories"
)

LOGGED: list[tuple[BaseException, str]] = [
    (UnknownMemory(QUOTED, ["chat"]), "NOMEMORY"),
    (UnknownMemory.definition(QUOTED, ["chat"]), "NOMEMORY"),
    (BadMessage(QUOTED), "BADMESSAGE"),
    (TemplateProblem(QUOTED), "TEMPLATE"),
    (NotIdentified(QUOTED.encode()), "NOAUTH"),
    (RedisRefused(f"NOPERM User {QUOTED} has no permissions to run the 'get' command"), RIGHTS),
    (RedisRefused(f"ERR unknown command '{QUOTED}', with args beginning with: "), "ERR"),
    (RedisRefused(f"{QUOTED} and more"), "an error"),
    (RedisRefused("LOADING Redis is loading the dataset in memory"), "LOADING Redis is loading the dataset in memory"),
    (RedisRefused("ERR max number of clients reached"), "ERR max number of clients reached"),
    (Unavailable("Connection refused"), "Redis cannot be reached (Connection refused)"),
    (Unavailable(f"NOPERM User {QUOTED}", "NOPERM"), "Redis cannot be reached (NOPERM)"),
    (Uncertain("it was cut"), "Redis went away after a command was sent (it was cut)"),
    (Uncertain(f"got {QUOTED}", "InvalidResponse"), "Redis went away after a command was sent (InvalidResponse)"),
    (EngineUnavailable("Temporal is away"), "Temporal is away"),
    (EngineUnavailable(QUOTED, "Redis is away"), "Redis is away"),
    (SummariserUnavailable(None, QUOTED), "SummariserUnavailable: unavailable"),
    (SummaryRejected("empty"), "SummaryRejected: empty"),
    (FlushRefused("stale-epoch"), "the flush was refused: stale-epoch; the memory is unchanged"),
    (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
    (TimeoutError(), "TimeoutError"),
    (ValueError(QUOTED), "ValueError"),
]


@pytest.mark.parametrize(("problem", "text"), LOGGED, ids=lambda value: type(value).__name__)
def test_what_a_log_may_show(problem: BaseException, text: str) -> None:
    """Nothing that was quoted, and else as much as says what is wrong."""
    assert logged(problem) == text


def test_every_error_is_in_the_tables() -> None:
    """There is no exception whose text is not pinned here, but for those that only group others."""
    groups = {MemsidecarError, ReplyableError, CommandError, UpstreamError, SummaryProblem}
    defined = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert defined - groups == {type(problem) for problem, *_ in [*REPLIES, *TEXTS]}
    assert all(issubclass(kind, MemsidecarError) for kind in defined)


def test_the_tree_in_the_docstring_is_complete() -> None:
    """Every exception stands in the tree that readers see, those with a reply next to its first word."""
    tree = [f"{line} " for line in (errors.__doc__ or "").splitlines() if line.strip().startswith(("├", "│"))]
    for problem, *_ in [*REPLIES, *TEXTS]:
        name = type(problem).__name__
        line = next(line for line in tree if f" {name} " in line)
        if isinstance(problem, ReplyableError) and not isinstance(problem, RedisRefused):
            assert problem.prefix in line


@pytest.mark.parametrize("kind", [BadMessage, RedisRefused])
def test_a_reply_is_one_line(kind: type[ReplyableError]) -> None:
    """A line break in a text, which would split the reply, becomes a blank."""
    line = kind("LOADING a\r\nb\nc").reply()
    assert line.endswith("LOADING a  b c")
    assert replies.error(line).count(b"\r\n") == 1


@pytest.mark.parametrize("extra", [0, 1])
def test_a_reply_has_a_limit(extra: int) -> None:
    """Our own texts may repeat what a client sent, but not megabytes of it; the cut is marked."""
    line = BadKey("x" * (MAX_REPLY_CHARACTERS - len("BADKEY ") + extra)).reply()
    assert len(line) == MAX_REPLY_CHARACTERS
    assert line.endswith("…" if extra else "xx")


def test_whose_fault() -> None:
    """What goes to the log is what a client can do nothing about; of Redis's refusals all but missing rights."""
    ours = {InternalError, PrivacyFailed, FlushFailed, TooManyIdentities, Unavailable, Uncertain}
    assert {kind for kind in _all(ReplyableError) if not kind.clients_fault} == ours
    for line, clients in (("NOPERM x", True), ("NOAUTH x", True), ("OOM x", False), ("ERR x", False)):
        assert RedisRefused(line).clients_fault is clients


def test_the_id_in_the_log() -> None:
    """A reply ends with it, unless it is Redis's own line."""
    assert InternalError().reply("5f1c") == f"{InternalError().reply()} (request 5f1c)"
    assert RedisRefused("OOM x").reply("5f1c") == "OOM x"


def _all(kind: type[ReplyableError]) -> list[type[ReplyableError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _all(below))]


def test_facts() -> None:
    """What callers switch on is an attribute, not a piece of the text."""
    assert FlushRefused("lost-plan").reason == "lost-plan"
    assert RedisRefused("OOM x").line == "OOM x"
    assert (Locked(5, 6).left_ms, FlushLocked(7).left_ms) == (5, 7)
    assert (SummariserUnavailable().retry_after_s, SummariserUnavailable(3.0).retry_after_s) == (None, 3.0)
    reasons = [each.reason for each in (SummariserUnavailable(), SummariserRefused("x"), SummaryRejected("empty"))]
    assert reasons == ["unavailable", "refused", "empty"]
    assert ConfigurationError(["a", "b"]).problems == ["a", "b"]
