"""MEMAPPEND and MEMWRITE."""

from __future__ import annotations

from typing import Any

from tests.e2e.dialogue import Refusal, Reply, dialogue, step

CALL = '{"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}}'
ASKING = f'{{"role":"assistant","content":null,"tool_calls":[{CALL}]}}'
PARTS = '[{"type":"text","text":"hello"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]'

LEASE = {"token": "<text-token>", "fence": "<number>", "ttl-ms": 60_000, "waited-ms": "<number>"}
"""The reply of MEMLOCK with 60000."""

ANSWERING = '{"role":"tool","content":"seen","tool_call_id":"c1"}'


def appended(
    count: int, messages: int, tokens: int, *, ids: tuple[Reply, Reply] = ("<id>", "<id>"), **others: Any
) -> Reply:
    """Return the reply of an append."""
    return {
        "first-id": ids[0],
        "last-id": ids[1],
        "appended": count,
        "messages": messages,
        "tokens": tokens,
        "flush": "none",
        "duplicate": False,
        **others,
    }


APPENDING = (
    dialogue(
        "pairs of role and content are stored in order",
        step("MEMAPPEND <key> user hello assistant there", gives=appended(2, 2, 10, ids=("<id-1>", "<id-2>"))),
        step("MEMAPPEND <key> system be", gives=appended(1, 3, 15, ids=("<id-3>", "<id-3>"))),
        step(
            "MEMREAD <key>",
            gives={
                "summary": None,
                "messages": [
                    {"id": "<id-1>", "role": "user", "content": "hello", "tokens": 5},
                    {"id": "<id-2>", "role": "assistant", "content": "there", "tokens": 5},
                    {"id": "<id-3>", "role": "system", "content": "be", "tokens": 5},
                ],
                "tokens": 15,
                "total-messages": 3,
                "total-tokens": 15,
                "more": False,
                "left-out": 0,
            },
        ),
    ),
    dialogue(
        "messages as JSON keep their further fields",
        step(
            "MEMAPPEND <key> JSON", '{"role":"user","content":"hello","name":"ann","seen":[1]}', gives=appended(1, 1, 7)
        ),
        step("MEMAPPEND <key> JSON", ASKING, ANSWERING, gives=appended(2, 3, 38)),
        step(
            "MEMREAD <key>",
            gives={
                "summary": None,
                "messages": [
                    {"id": "<id>", "role": "user", "content": "hello", "tokens": 7, "name": "ann", "seen": "[1]"},
                    {"id": "<id>", "role": "assistant", "content": None, "tokens": 26, "tool_calls": f"[{CALL}]"},
                    {"id": "<id>", "role": "tool", "content": "seen", "tokens": 5, "tool_call_id": "c1"},
                ],
                "tokens": 38,
                "total-messages": 3,
                "total-tokens": 38,
                "more": False,
                "left-out": 0,
            },
        ),
    ),
    dialogue(
        "parts are kept as they are and what is no text in them is estimated",
        step("MEMAPPEND <key> JSON", f'{{"role":"user","content":{PARTS}}}', gives=appended(1, 1, 770)),
        step(
            "MEMREAD <key> NOSUMMARY",
            gives={
                "summary": None,
                "messages": [{"id": "<id>", "role": "user", "content": PARTS, "tokens": 770}],
                "tokens": 770,
                "total-messages": 1,
                "total-tokens": 770,
                "more": False,
                "left-out": 0,
            },
        ),
    ),
    dialogue(
        "names and options are taken in any case",
        step("memappend <key> idempotent once User hello", gives=appended(1, 1, 5)),
        step("MemAppend <key> Idempotent once user hello", gives=appended(1, 1, 5, duplicate=True)),
    ),
    dialogue(
        "a repetition gets the first reply and stores nothing",
        step(
            "MEMAPPEND <key> IDEMPOTENT once user hello assistant there",
            gives=appended(2, 2, 10, ids=("<id-1>", "<id-2>")),
        ),
        step("MEMAPPEND <key> user more", gives=appended(1, 3, 15)),
        step(
            "MEMAPPEND <key> IDEMPOTENT once user other",
            gives=appended(2, 2, 10, ids=("<id-1>", "<id-2>"), duplicate=True),
        ),
        step("MEMAPPEND <key> IDEMPOTENT twice user other", gives=appended(1, 4, 20)),
    ),
    dialogue(
        "the context of an append renders its key",
        step("MEMAPPEND {{user.id}}-<key> CONTEXT", '{"user":{"id":"ann"}}', "user", "hello", gives=appended(1, 1, 5)),
        step("MEMAPPEND ann-<key> user hello", gives=appended(1, 2, 10)),
    ),
    dialogue(
        "the holder of the lease appends and others do not",
        step(
            "MEMLOCK quick:<key> 60000",
            gives=LEASE,
        ),
        step("MEMAPPEND quick:<key> LOCK <text-token> user hello", gives=appended(1, 1, 5)),
        step(
            "MEMAPPEND quick:<key> user hello",
            gives=Refusal("LOCKED somebody else holds the lock of this memory for <number> ms more; it did not come "),
        ),
        step("MEMAPPEND quick:<key> LOCK nonsense user hello", gives=Refusal("STALELOCK this token does not hold ")),
    ),
    dialogue(
        "metadata goes with each message and costs no tokens",
        step(
            "MEMAPPEND <key> META",
            '{"from":"tests"}',
            "user",
            "hello",
            gives=appended(1, 1, 5, ids=("<id-1>", "<id-1>")),
        ),
        step(
            "MEMREAD <key>",
            gives={
                "summary": None,
                "messages": [
                    {"id": "<id-1>", "role": "user", "content": "hello", "tokens": 5, "metadata": '{"from":"tests"}'}
                ],
                "tokens": 5,
                "total-messages": 1,
                "total-tokens": 5,
                "more": False,
                "left-out": 0,
            },
        ),
    ),
    dialogue(
        "what must not be kept is accepted and not counted",
        step("MEMAPPEND private:<key> developer secret", gives=appended(0, 0, 0, ids=(None, None))),
        step("MEMAPPEND private:<key> developer secret user hello", gives=appended(1, 1, 5, ids=("<id-1>", "<id-1>"))),
    ),
    dialogue(
        "an append says that a flush is due and that one is running",
        step(
            "MEMLOCK few:<key> 60000",
            gives=LEASE,
        ),
        step("MEMAPPEND few:<key> LOCK <text-token>" + " user hello" * 8, gives=appended(8, 8, 40)),
        step("MEMAPPEND few:<key> LOCK <text-token> user hello", gives=appended(1, 9, 45, flush="due")),
        step("MEMUNLOCK few:<key> <text-token>", gives=1),
    ),
    dialogue(
        "a write replaces everything",
        step("MEMAPPEND <key> user hello assistant there", gives=appended(2, 2, 10)),
        step("MEMWRITE <key> system be", gives=appended(1, 1, 5, ids=("<id-1>", "<id-1>"))),
        step("MEMWRITE <key> JSON", ASKING, ANSWERING, gives=appended(2, 2, 31, ids=("<id-2>", "<id-3>"))),
        step("MEMDEL <key> <id-1>", gives=0),
        step("MEMDEL <key> <id-2> <id-3>", gives=2),
    ),
    dialogue(
        "the context of a write renders its key",
        step("MEMWRITE {{user.id}}-<key> CONTEXT", '{"user":{"id":"ann"}}', "user", "hello", gives=appended(1, 1, 5)),
        step("MEMAPPEND ann-<key> user hello", gives=appended(1, 2, 10)),
    ),
    dialogue(
        "the holder of the lease writes and others do not",
        step(
            "MEMLOCK quick:<key> 60000",
            gives=LEASE,
        ),
        step("MEMWRITE quick:<key> LOCK <text-token> user hello", gives=appended(1, 1, 5)),
        step("MEMWRITE quick:<key> user hello", gives=Refusal("LOCKED ")),
        step("MEMWRITE quick:<key> LOCK nonsense user hello", gives=Refusal("STALELOCK ")),
    ),
)
