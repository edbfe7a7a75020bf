"""The command table: one row per MEM command, in the order of the documentation.

To add a command: write its `parse` (arguments to a request) and `render` (result to a reply value) in the module of its
family, add a method to `MemoryService`, and add its row here. Everything else (framing, session rules, metrics,
arity errors, what COMMAND tells, the README) follows from the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from sidecar.commands import (
    append,
    context,
    count,
    definitions,
    delete,
    flush,
    fork,
    health,
    info,
    lock,
    pin,
    read,
    walk,
)
from sidecar.commands.command import Command
from sidecar.commands.syntax import block, key, number, one_of, optional, several, text, word

_ADDRESSES = ("NOMEMORY", "BADKEY", "TEMPLATE")
_CHANGES = ("LOCKED", "STALELOCK", "FORBIDDEN", *_ADDRESSES)

_NONDETERMINISTIC = ("nondeterministic_output",)

_CONTEXT = optional(
    text("context", "CONTEXT", "JSON object for the templates of this key, on top of the connection's (MEMCONTEXT)")
)
_TRACEPARENT = optional(
    text("traceparent", "TRACEPARENT", "W3C Trace Context of the caller's span, directly behind the key")
)
_LOCK = optional(text("token", "LOCK", "token of the lease that the caller holds, from MEMLOCK"))
_MESSAGES = one_of(
    "messages",
    several(block("pair", text("role", summary="system, developer, user, assistant or tool"), text("content"))),
    several(text("message", "JSON", "objects in the OpenAI chat format; further fields are kept")),
)
_UNLESS_PEEK = "UPDATE because it extends the TTL, unless PEEK is given"

_ROWS = (
    Command(
        name="MEMAPPEND",
        arity=-4,
        flags=("write", "denyoom"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Stores messages at the end of a memory, with their exact token counts, in one atomic step.",
        complexity="O(N) where N is the length of the messages, and of those that make room for them",
        arguments=(
            key("RW", "insert"),
            _CONTEXT,
            optional(
                text(
                    "token",
                    "IDEMPOTENT",
                    "1 to 256 bytes; within `idempotency_ttl` it stores once, and repetitions get the first reply",
                )
            ),
            _LOCK,
            optional(text("metadata", "META", "JSON object, kept with each message as its field `metadata`")),
            _MESSAGES,
        ),
        reply="map: `first-id`, `last-id`, `appended` (messages stored), `messages`, `tokens` (totals after it), "
        "`flush` (`none`, `due`, `running`), `duplicate` (it was a repetition under its IDEMPOTENT token)",
        errors=("BADMESSAGE", "OVERBUDGET", "PRIVACY", *_CHANGES),
        parse=append.parse,
        render=append.render,
        quick=append.encode,
    ),
    Command(
        name="MEMREAD",
        arity=-2,
        flags=("write", "blocking"),
        tips=(),
        since="0.1.0",
        summary="Returns the summary and the messages of a memory, oldest first, within a budget.",
        complexity="O(N) where N is the number of messages returned, instructions and pinned ones included; with "
        "ROLE, of messages looked at, at most 10,000",
        arguments=(
            key("RW", "access", "update", notes=_UNLESS_PEEK),
            _CONTEXT,
            optional(
                block(
                    "budget",
                    number("n", "TOKENS", "budget: summary, instructions, pinned messages and then the newest ones"),
                    optional(number("m", "RESERVE", "tokens of the budget to keep free, such as for the answer")),
                    optional(
                        one_of(
                            "oversize",
                            word("SKIP", "it is left out, and older ones that fit are returned (the default)"),
                            word("TRUNCATE", "it is cut to what fits, and has the field `truncated`"),
                            word("ERROR", "OVERBUDGET"),
                            token="OVERSIZE",
                            summary="what becomes of a message that alone exceeds the budget",
                        )
                    ),
                )
            ),
            optional(number("n", "COUNT", "the newest n; with SINCE, the oldest n after it")),
            optional(text("id", "SINCE", "messages after this id; `$`, with BLOCK: from now on")),
            optional(text("id", "BEFORE", "messages before this id")),
            optional(several(text("role", "ROLE", "messages of these roles, among the newest 10,000"))),
            optional(word("NOSUMMARY", "without the summary")),
            optional(
                one_of(
                    "format",
                    word("RESP", "a map (the default)"),
                    word("OPENAI", "the JSON array `messages` of a chat completion"),
                    word("ANTHROPIC", "a JSON object with `system` and `messages`"),
                    token="FORMAT",
                )
            ),
            optional(number("ms", "BLOCK", "wait so long for a message after SINCE; 0: for an hour")),
            optional(word("PEEK", "neither extend the life of the memory nor count as a use of its messages")),
        ),
        reply="map: `summary`, `messages` (maps of `id`, `role`, `content`, `tokens` and the further fields), "
        "`tokens` (of what is returned), `total-messages`, `total-tokens`, `more` (there are others), `left-out` "
        "(too large, or half of a tool call and its results); with FORMAT OPENAI or ANTHROPIC the JSON of that API's "
        "request",
        errors=("OVERBUDGET", *_ADDRESSES),
        parse=read.parse,
        render=read.render,
        quick=read.encode,
    ),
    Command(
        name="MEMFLUSH",
        arity=-2,
        flags=("write", "blocking"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Compacts a memory in the background.",
        complexity="O(1); in the background, with DRYRUN or UNDO at once, O(N) where N is the number of messages",
        arguments=(
            key("RW", "update"),
            _CONTEXT,
            optional(text("name", "STRATEGY", "instead of the definition's: one of those in docs/strategies.md")),
            optional(number("tokens", "TARGET", "bring the memory down to so many, instead of the definition's share")),
            optional(word("FORCE", "also below the threshold")),
            optional(word("DRYRUN", "plan and report, change nothing")),
            optional(number("ms", "WAIT", "wait so long for the outcome, at most an hour")),
            optional(word("UNDO", "instead: put back what the last flush took, within `flush.undo_ttl`")),
        ),
        reply="map: `status` (`not-due`, `would-flush`, `started`, `joined`, `done`, `failed`; of UNDO `undone` or "
        "`nothing-to-undo`), `workflow-id`, `run-id`, `strategy`, and once done `removed`, `shortened`, `messages`, "
        "`tokens`, `tokens-freed`, `summary-tokens`, `duration-ms`, `error`; once undone `restored` and the totals",
        errors=("FLUSHFAILED", "TIMEOUT", "FORBIDDEN", "LOCKED", *_ADDRESSES),
        parse=flush.parse,
        render=flush.render,
    ),
    Command(
        name="MEMINFO",
        arity=-2,
        flags=("readonly", "fast"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Tells the state of a memory.",
        complexity="O(1)",
        arguments=(key("RO"), _CONTEXT),
        reply="map: `messages`, `tokens`, `summary-tokens`, `pinned-tokens`, `limit-tokens`, `limit-messages`, "
        "`usage` (share of the tighter limit), `near-limit`, `health` (`ok`, `full`: over a limit, `overdue`: a flush "
        "is due for minutes, `failing`: the last one failed), `flush` (`none`, `due`, `running`, `failed`), "
        "`flush-due-since-ms`, `last-flush-ms`, `last-flush-strategy`, `last-flush-error`, `epoch`, `ttl-ms`, "
        "`locked`, `encoding`, `first-id`, `last-id`",
        errors=_ADDRESSES,
        parse=info.parse_info,
        render=info.render_info,
    ),
    Command(
        name="MEMWRITE",
        arity=-4,
        flags=("write", "denyoom"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Replaces the whole content of a memory, its summary included, in one atomic step.",
        complexity="O(N) where N is the length of the messages; Redis frees the old ones in the background",
        arguments=(key("OW", "update"), _CONTEXT, _LOCK, _MESSAGES),
        reply="as MEMAPPEND",
        errors=("BADMESSAGE", "OVERBUDGET", "PRIVACY", *_CHANGES),
        parse=append.parse_write,
        render=append.render,
    ),
    Command(
        name="MEMCLEAR",
        arity=-2,
        flags=("write", "fast"),
        tips=(),
        since="0.1.0",
        summary="Deletes a memory with everything that belongs to it.",
        complexity="O(1); Redis frees the memory in the background",
        arguments=(key("RM", "delete"), _CONTEXT, _LOCK),
        reply="integer: messages removed",
        errors=_CHANGES,
        parse=info.parse_clear,
        render=info.render_cleared,
    ),
    Command(
        name="MEMDEL",
        arity=-3,
        flags=("write",),
        tips=(),
        since="0.1.0",
        summary="Deletes single messages, with PAIRS also the other half of a tool call and its results.",
        complexity="O(N) where N is the number of ids",
        arguments=(
            key("RW", "delete"),
            _LOCK,
            optional(word("PAIRS", "with the other half of a tool call and its results")),
            several(text("id")),
        ),
        reply="integer: messages deleted",
        errors=_CHANGES,
        parse=delete.parse,
        render=delete.render,
    ),
    Command(
        name="MEMPIN",
        arity=-3,
        flags=("write",),
        tips=(),
        since="0.1.0",
        summary="Pins messages: every budgeted read contains them, and no flush removes them.",
        complexity="O(N*log(M)) where N is the number of ids and M that of pinned messages",
        arguments=(key("RW", "update"), several(text("id"))),
        reply="integer: messages that were not pinned before",
        errors=("FORBIDDEN", *_ADDRESSES),
        parse=pin.parse_pin,
        render=pin.render,
    ),
    Command(
        name="MEMUNPIN",
        arity=-3,
        flags=("write",),
        tips=(),
        since="0.1.0",
        summary="Takes pins away. System and developer messages are always kept.",
        complexity="O(N*log(M)) where N is the number of ids and M that of pinned messages",
        arguments=(key("RW", "update"), several(text("id"))),
        reply="integer: messages that were pinned before",
        errors=("FORBIDDEN", *_ADDRESSES),
        parse=pin.parse_unpin,
        render=pin.render,
    ),
    Command(
        name="MEMFORK",
        arity=-3,
        flags=("write", "denyoom"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Copies a memory, up to an id, to one that is empty.",
        complexity="O(N) where N is the number of messages copied, in steps of some hundred",
        arguments=(
            replace(key("RO", "access"), name="source"),
            replace(key("OW", "insert"), name="target"),
            optional(text("id", "AT", "up to and with this message; without it, all")),
        ),
        reply="as MEMAPPEND",
        errors=_CHANGES,
        parse=fork.parse,
        render=append.render,
    ),
    Command(
        name="MEMCOUNT",
        arity=-2,
        flags=(),
        tips=(),
        since="0.1.0",
        summary="Counts the tokens of texts.",
        complexity="O(N) where N is the length of the texts",
        arguments=(
            optional(
                one_of(
                    "vocabulary",
                    text("id", "DEFINITION", "as this definition counts"),
                    text("name", "MODEL", "as this model counts"),
                )
            ),
            several(text("text")),
        ),
        reply="array of integers",
        errors=("NOMEMORY",),
        parse=count.parse,
        render=count.render,
    ),
    Command(
        name="MEMLIST",
        arity=-1,
        flags=("readonly",),
        tips=("nondeterministic_output", "request_policy:special"),
        since="0.1.0",
        summary="Walks the memories of the project, with DUE those that wait for a flush.",
        complexity="O(1) for every call; O(N) for a complete walk, where N is the number of keys on the server, with "
        "DUE of memories that wait",
        arguments=(
            optional(text("cursor", summary="0 or none at the beginning, then that of the last reply")),
            optional(text("pattern", "MATCH", "glob-style, of whole keys `definition:instance`")),
            optional(number("n", "COUNT", "about how much to look at in one call")),
            optional(word("DUE", "those that wait for a flush")),
        ),
        reply="as SCAN: the next cursor, and an array of keys",
        errors=(),
        parse=walk.parse,
        render=walk.render,
    ),
    Command(
        name="MEMLOCK",
        arity=-3,
        flags=("write", "denyoom", "blocking"),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Takes the exclusive lease on a memory for a whole turn of an agent, or extends it.",
        complexity="O(1)",
        arguments=(
            key("RW", "update"),
            number("ttl-ms", summary="how long the lease is; it ends by itself"),
            optional(number("ms", "WAIT", "wait so long for somebody else's lease, as long as the definition lets")),
            optional(text("token", "RENEW", "extend the lease that this token holds")),
        ),
        reply="map: `token`, `fence` (strictly increasing per memory), `ttl-ms`, `waited-ms`",
        errors=("LOCKED", "STALELOCK", "FORBIDDEN", *_ADDRESSES),
        parse=lock.parse_lock,
        render=lock.render_lock,
    ),
    Command(
        name="MEMUNLOCK",
        arity=3,
        flags=("write", "fast"),
        tips=(),
        since="0.1.0",
        summary="Releases the lease on a memory.",
        complexity="O(1)",
        arguments=(key("RW", "update"), text("token")),
        reply="integer: 1, or 0 if it was no longer held",
        errors=("FORBIDDEN", *_ADDRESSES),
        parse=lock.parse_unlock,
        render=lock.render_unlock,
    ),
    Command(
        name="MEMCONTEXT",
        arity=-1,
        flags=("fast",),
        tips=(),
        since="0.1.0",
        summary="Sets, shows or drops what templates in the keys of this connection may name.",
        complexity="O(N) where N is the length of the context",
        arguments=(optional(one_of("context", text("json", summary="an object"), word("CLEAR", "drops it"))),),
        reply="OK, or the JSON",
        errors=(),
        parse=context.parse,
        render=context.render,
    ),
    Command(
        name="MEMDEFS",
        arity=-1,
        flags=("fast",),
        tips=(),
        since="0.1.0",
        summary="Lists the memory definitions in force, or shows one.",
        complexity="O(N) where N is the number of definitions",
        arguments=(optional(text("id")),),
        reply="array of ids, or one definition as a map",
        errors=("NOMEMORY",),
        parse=definitions.parse,
        render=definitions.render,
    ),
    Command(
        name="MEMHEALTH",
        arity=1,
        flags=(),
        tips=_NONDETERMINISTIC,
        since="0.1.0",
        summary="Tells how the sidecar and what it depends on are.",
        complexity="O(1)",
        arguments=(),
        reply="map with `healthy` (Redis can be written to, read and deleted from), and a map each for `redis`, "
        "`flush-engine`, `outbox` (these three with `state`, which is `up`, `down` or `unknown`, `age-ms` since it was "
        "looked at, and `for-ms` since it is so), `locks` and `tokenizer`",
        errors=(),
        parse=health.parse,
        render=health.render,
    ),
)


def _traced(row: Command) -> Command:
    """Return the row of a command that takes TRACEPARENT behind its keys, if it has any."""
    at = len(row.keys)
    if not at:
        return row
    assert all(argument.type == "key" for argument in row.arguments[:at]), "keys come first"
    arguments = (*row.arguments[:at], _TRACEPARENT, *row.arguments[at:])
    return replace(row, arguments=arguments, arity=-abs(row.arity), trace_at=at)


COMMANDS: Mapping[bytes, Command] = MappingProxyType({row.name.encode(): _traced(row) for row in _ROWS})
"""By upper-case name."""
