"""MEMCOUNT, MEMCONTEXT, MEMDEFS and MEMHEALTH, which are about no memory."""

from __future__ import annotations

from typing import Any

from tests.e2e.contract.appending import appended
from tests.e2e.contract.definitions import DEFINITIONS
from tests.e2e.dialogue import Refusal, dialogue, step

WATCHED = {"state": "up", "age-ms": "<number>", "for-ms": "<number>"}

SMALL: dict[str, Any] = {
    "id": "small",
    "description": "",
    "version": "",
    "type": "token_based",
    "encoding": "o200k_base",
    "model": None,
    "calibration": 1.0,
    "per-message-overhead": 3,
    "max-tokens": 1000,
    "max-messages": 100,
    "ttl-ms": None,
    "ttl-after-clear-ms": None,
    "ttl-after-flush-ms": None,
    "image-tokens": 765,
    "audio-tokens": 600,
    "file-tokens": 1500,
    "key-template": None,
    "mode": "read-write",
    "overflow": "allow",
    "priority-blocks": [],
    "token-allocation": {},
    "flush": {
        "strategy": "hybrid_summary",
        "threshold": 0.8,
        "target": 0.5,
        "summary-tokens": 250,
        "undo-ttl-ms": 3600000,
        "tool-result-tokens": 64,
        "summariser": "extractive",
        "fallback": "extractive",
    },
    "privacy": {"redact": [], "patterns": [], "replacement": "[{kind}]", "do-not-persist": []},
    "locking": {"min-lease-ms": 100, "max-lease-ms": 600000, "wait-ms": 5000, "max-wait-ms": 60000},
    "idempotency-ttl-ms": 86400000,
    "max-message-bytes": None,
    "max-request-bytes": None,
    "max-request-messages": None,
    "threshold-tokens": 800,
    "threshold-messages": 80,
    "target-tokens": 500,
    "target-messages": 50,
}
"""The definition `small`, with what follows from its few fields."""

ASKING = (
    dialogue(
        "texts are counted in the encoding that is asked for",
        step("MEMCOUNT hello", gives=[1]),
        step("MEMCOUNT", "hello world", "", "数を数える", gives=[2, 0, 4]),
        step("MEMCOUNT DEFINITION old", "数を数える", gives=[5]),
        step("MEMCOUNT MODEL gpt-4", "数を数える", "hello", gives=[5, 1]),
        step("MEMCOUNT definition", gives=[1]),
        step(
            "MEMCOUNT DEFINITION nosuch hello",
            gives=Refusal("NOMEMORY no memory definition 'nosuch'; use one of: default, "),
        ),
        step("MEMCOUNT MODEL nosuch hello", gives=Refusal("ERR ")),
    ),
    dialogue(
        "the context of a connection is shown and renders keys until it is dropped",
        step("MEMCONTEXT", gives="{}"),
        step("MEMCONTEXT", '{"user":{"id":"ann"}}', gives="OK"),
        step("MEMCONTEXT", gives='{"user":{"id":"ann"}}'),
        step("MEMAPPEND {{user.id}}-<key> user hello", gives=appended(1, 1, 5)),
        step("MEMAPPEND ann-<key> user hello", gives=appended(1, 2, 10)),
        step("MEMCONTEXT CLEAR", gives="OK"),
        step("MEMCONTEXT", gives="{}"),
        step("MEMAPPEND {{user.id}}-<key> user hello", gives=Refusal("TEMPLATE there is no 'user.id' in the context")),
        step("MEMCONTEXT nonsense", gives=Refusal("ERR MEMCONTEXT takes a JSON object: ")),
    ),
    dialogue(
        "the definitions in force are told",
        step("MEMDEFS", gives=sorted(each["id"] for each in DEFINITIONS)),
        step("MEMDEFS small", gives=SMALL),
        step("MEMDEFS nosuch", gives=Refusal("NOMEMORY no memory definition 'nosuch'; use one of: default, ")),
    ),
    dialogue(
        "the sidecar and all that it depends on are well",
        step("MEMCOUNT hello", gives=[1]),
        step("MEMCOUNT DEFINITION old hello", gives=[1]),
        step(
            "MEMHEALTH",
            gives={
                "healthy": True,
                "redis": {**WATCHED, "up": True, "round-trip-ms": "<double>"},
                "flush-engine": {**WATCHED, "name": "local", "up": True},
                "outbox": {**WATCHED, "depth": "<number>", "oldest-age-seconds": "<double>"},
                "locks": {"acquired": "<number>", "refused": "<number>", "waiting": 0},
                "tokenizer": {"cl100k_base": "<text>", "o200k_base": "<text>"},
            },
        ),
    ),
)
