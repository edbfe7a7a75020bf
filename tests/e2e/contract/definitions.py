"""The definitions that the dialogues use, one for each thing that they need one for."""

from __future__ import annotations

from typing import Any

DEFINITIONS: list[dict[str, Any]] = [
    {"id": "default"},
    {"id": "small", "max_tokens": 1_000, "max_messages": 100},
    {"id": "old", "encoding": "cl100k_base"},
    {"id": "few", "type": "message_count_based", "max_messages": 10, "flush": {"strategy": "fifo"}},
    {"id": "full", "max_tokens": 20, "overflow": "reject"},
    {"id": "quick", "locking": {"wait": 0}},
    {"id": "mortal", "ttl": "1h"},
    {"id": "frozen", "mode": "read-only"},
    {"id": "named", "key_template": "{{ workflow.id }}"},
    {"id": "private", "privacy": {"redact": ["email"], "do_not_persist": ["developer"]}},
    {"id": "tiny", "limits": {"message_bytes": 10, "request_bytes": 15, "request_messages": 2}},
]
