"""Errors that a client provokes by what it says; those of locks and of flushes are in their families."""

from __future__ import annotations

from tests.e2e.contract.appending import appended
from tests.e2e.dialogue import Refusal, dialogue, step

NESTED = "[" * 140 + "]" * 140
"""JSON inside a text, deeper than redaction follows it."""

CHANGING = {
    "MEMAPPEND": "user hello",
    "MEMWRITE": "user hello",
    "MEMFLUSH": "FORCE",
    "MEMCLEAR": "",
    "MEMDEL": "1-1",
    "MEMPIN": "1-1",
    "MEMUNPIN": "1-1",
    "MEMLOCK": "60000",
    "MEMUNLOCK": "token",
}
"""Commands that change the memory that they name first, with arguments."""

READ_ONLY = Refusal("FORBIDDEN the definition 'frozen' is read-only here; ")

REFUSING = (
    dialogue(
        "the syntax of options is checked",
        step("MEMAPPEND <key> user hello assistant", gives=Refusal("ERR messages are pairs of role and content")),
        step("MEMAPPEND <key> CONTEXT nonsense user hello", gives=Refusal("ERR CONTEXT takes a JSON object: ")),
        step("MEMAPPEND <key> META [1] user hello", gives=Refusal("ERR META takes a JSON object: ")),
        step("MEMAPPEND <key> LOCK", "", "user", "hello", gives=Refusal("ERR LOCK takes a token of 1 to 256 bytes")),
        step(
            "MEMWRITE <key> IDEMPOTENT once user hello", gives=Refusal("BADMESSAGE role of message 1 is 'IDEMPOTENT'")
        ),
        step("MEMREAD <key> COLOUR", gives=Refusal("ERR MEMREAD has no option 'COLOUR'; it knows CONTEXT, TOKENS, ")),
        step("MEMREAD <key> TOKENS few", gives=Refusal("ERR TOKENS takes a whole number from 0 to 2^53, not 'few'")),
        step("MEMREAD <key> COUNT 0", gives=Refusal("ERR COUNT takes a whole number from 1 to 2^53, not '0'")),
        step("MEMREAD <key> TOKENS", gives=Refusal("ERR MEMREAD expects a number after TOKENS at the end ")),
        step(
            "MEMFLUSH <key> COLOUR", gives=Refusal("ERR MEMFLUSH has no option 'COLOUR'; it knows CONTEXT, STRATEGY, ")
        ),
        step("MEMFLUSH <key> WAIT 0", gives=Refusal("ERR WAIT takes a whole number from 1 to 2^53, not '0'")),
        step("MEMINFO <key> COLOUR", gives=Refusal("ERR MEMINFO has no option 'COLOUR'; it knows CONTEXT")),
        step("MEMCLEAR <key> COLOUR", gives=Refusal("ERR MEMCLEAR has no option 'COLOUR'; it knows CONTEXT and LOCK")),
        step("MEMFORK <key> <key>-2 COLOUR", gives=Refusal("ERR MEMFORK has no option 'COLOUR'; it knows AT")),
        step("MEMLIST 0 COLOUR", gives=Refusal("ERR MEMLIST has no option 'COLOUR'; it knows MATCH, COUNT and DUE")),
        step("MEMLOCK <key> long", gives=Refusal("ERR ttl-ms takes a whole number from 0 to 2^53, not 'long'")),
        step(
            "MEMLOCK <key> 60000 COLOUR", gives=Refusal("ERR MEMLOCK has no option 'COLOUR'; it knows WAIT and RENEW")
        ),
        step("MEMREAD <key> FORMAT OPENAI", gives="[]"),
    ),
    dialogue(
        "messages that are none are refused whole",
        step(
            "MEMAPPEND <key> user hello robot x",
            gives=Refusal("BADMESSAGE role of message 2 is 'robot'; it must be one "),
        ),
        step("MEMAPPEND <key> JSON nonsense", gives=Refusal("BADMESSAGE message 1 is not a JSON object: ")),
        step(
            "MEMAPPEND <key> JSON",
            '{"role":"user","content":7}',
            gives=Refusal("BADMESSAGE the content of message 1 must be a string, null or a list of parts"),
        ),
        step("MEMWRITE <key> robot x", gives=Refusal("BADMESSAGE role of message 1 is 'robot'; ")),
        step("MEMREAD <key> FORMAT OPENAI", gives="[]"),
    ),
    dialogue(
        "messages above the limits of their definition are refused whole",
        step("MEMAPPEND tiny:<key> user hello user hello", gives=appended(2, 2, 10)),
        step(
            "MEMAPPEND tiny:<key>" + " user x" * 3, gives=Refusal("BADMESSAGE a request to 'tiny' may have 2 messages")
        ),
        step(
            "MEMAPPEND tiny:<key> user hello-hello",
            gives=Refusal("BADMESSAGE message 1 has 11 bytes, and 'tiny' takes 10"),
        ),
        step(
            "MEMAPPEND tiny:<key> user hello-you user hello-you",
            gives=Refusal("BADMESSAGE the messages have 18 bytes, and 'tiny' takes 15 in one request"),
        ),
        step("MEMCLEAR tiny:<key>", gives=2),
    ),
    dialogue(
        "a definition may refuse what is above its limit",
        step("MEMAPPEND full:<key>" + " user hello" * 4, gives=appended(4, 4, 20, flush="due")),
        step("MEMAPPEND full:<key> user hello", gives=Refusal("OVERBUDGET ")),
        step("MEMWRITE full:<key>" + " user hello" * 5, gives=Refusal("OVERBUDGET ")),
    ),
    dialogue(
        "what cannot be searched for secrets is not stored",
        step(
            "MEMAPPEND private:<key> JSON",
            '{"role":"assistant","content":null,"tool_calls":'
            f'[{{"id":"c1","type":"function","function":{{"name":"look","arguments":"{NESTED}"}}}}]}}',
            gives=Refusal(
                "PRIVACY redaction failed (the message is nested more than 128 levels deep); nothing was stored"
            ),
        ),
        step("MEMREAD private:<key> FORMAT OPENAI", gives="[]"),
    ),
    dialogue(
        "a read-only memory is read and never changed",
        *(step(f"{name} frozen:<key> {further}".strip(), gives=READ_ONLY) for name, further in CHANGING.items()),
        step("MEMFORK <key> frozen:<key>", gives=READ_ONLY),
        step("MEMREAD frozen:<key> FORMAT OPENAI", gives="[]"),
    ),
    dialogue(
        "keys are checked",
        step(
            "MEMREAD", "a key", gives=Refusal("BADKEY byte 0x20 at offset 1 is not allowed in a key; use A-Z a-z 0-9 ")
        ),
        step("MEMREAD", "", gives=Refusal("BADKEY ")),
        step("MEMREAD small:", gives=Refusal("BADKEY the instance is empty; write definition:instance")),
        step(
            "MEMREAD small", gives=Refusal("BADKEY 'small' names a definition but no instance; write small:<instance>")
        ),
        step("MEMREAD " + "k" * 257, gives=Refusal("BADKEY the instance has 257 bytes; at most 256 are allowed")),
        step("MEMREAD " + "k" * 256 + " FORMAT OPENAI", gives="[]"),
        step("MEMREAD azAZ09_.-:@/* FORMAT OPENAI", gives="[]"),
    ),
)
