"""The fields of the replies that are maps, in the order of the contract."""

from __future__ import annotations

APPENDED = ("first-id", "last-id", "appended", "messages", "tokens", "flush", "duplicate")

FIELDS = {
    "MEMAPPEND": APPENDED,
    "MEMWRITE": APPENDED,
    "MEMFORK": APPENDED,
    "MEMREAD": ("summary", "messages", "tokens", "total-messages", "total-tokens", "more", "left-out"),
    "MEMINFO": (
        "messages",
        "tokens",
        "summary-tokens",
        "pinned-tokens",
        "limit-tokens",
        "limit-messages",
        "usage",
        "near-limit",
        "health",
        "flush",
        "flush-due-since-ms",
        "last-flush-ms",
        "last-flush-strategy",
        "last-flush-error",
        "epoch",
        "ttl-ms",
        "locked",
        "encoding",
        "first-id",
        "last-id",
    ),
    "MEMLOCK": ("token", "fence", "ttl-ms", "waited-ms"),
    "MEMHEALTH": ("healthy", "redis", "flush-engine", "outbox", "locks", "tokenizer"),
}
"""By command."""

FLUSHED = (
    "status",
    "workflow-id",
    "run-id",
    "strategy",
    "removed",
    "messages",
    "tokens",
    "tokens-freed",
    "summary-tokens",
    "duration-ms",
    "error",
    "shortened",
    "restored",
)
"""Of MEMFLUSH, which tells those that it knows."""

MESSAGE = ("id", "role", "content", "tokens")
"""Of each message of MEMREAD, before the further fields of its JSON."""
