"""MEMREAD."""

from __future__ import annotations

from typing import Any

from tests.e2e.contract.appending import ANSWERING, ASKING, CALL, appended
from tests.e2e.contract.flushing import done
from tests.e2e.dialogue import Refusal, Reply, dialogue, step

STORED = step(
    "MEMAPPEND <key> system be user one assistant two user three",
    gives=appended(4, 4, 20, ids=("<id-be>", "<id-three>")),
)
"""Four messages of five tokens each; the one that is an instruction comes first."""


def message(role: str, content: str | None, tokens: int = 5, **further: Any) -> Reply:
    """Return a message of a read."""
    return {"id": further.pop("id", "<id>"), "role": role, "content": content, "tokens": tokens, **further}


SUMMARY_TOKENS = 32
"""Of the one summary that is made here."""

BE = message("system", "be", id="<id-be>")
ONE = message("user", "one", id="<id-one>")
TWO = message("assistant", "two", id="<id-two>")
THREE = message("user", "three", id="<id-three>")


def read(
    *messages: Reply, of: int = 4, total: int = 20, more: bool = False, left: int = 0, summary: Reply = None
) -> Reply:
    """Return the reply of a read."""
    return {
        "summary": summary,
        "messages": list(messages),
        "tokens": sum(each["tokens"] for each in messages) + (SUMMARY_TOKENS if summary else 0),
        "total-messages": of,
        "total-tokens": total,
        "more": more,
        "left-out": left,
    }


IDS = step("MEMREAD <key>", gives=read(BE, ONE, TWO, THREE))
"""Learns all ids."""

SKIPPED = read(message("user", "one"), message("user", "three"), of=3, total=54, left=1)
"""What fits into 20 tokens, of which the long one between them is no part."""

LONG = "word " * 39 + "word"

READING = (
    dialogue(
        "an unknown memory is an empty one",
        step("MEMREAD <key>", gives=read(of=0, total=0)),
        step("MEMREAD <key> TOKENS 1 OVERSIZE ERROR", gives=read(of=0, total=0)),
        step("MEMREAD <key> FORMAT OPENAI", gives="[]"),
        step("MEMREAD <key> FORMAT ANTHROPIC", gives='{"messages":[]}'),
    ),
    dialogue(
        "the newest messages that fit into a budget come with every instruction",
        STORED,
        IDS,
        step("MEMREAD <key> TOKENS 20", gives=read(BE, ONE, TWO, THREE)),
        step("MEMREAD <key> TOKENS 19", gives=read(BE, TWO, THREE, more=True)),
        step("MEMREAD <key> TOKENS 10", gives=read(BE, THREE, more=True)),
        step("MEMREAD <key> TOKENS 10 NOSUMMARY", gives=read(BE, THREE, more=True)),
    ),
    dialogue(
        "a reserve is taken off the budget",
        STORED,
        IDS,
        step("MEMREAD <key> TOKENS 20 RESERVE 1", gives=read(BE, TWO, THREE, more=True)),
        step("MEMREAD <key> RESERVE 5 TOKENS 20", gives=read(BE, TWO, THREE, more=True)),
        step("MEMREAD <key> RESERVE 1", gives=Refusal("ERR RESERVE keeps a part of TOKENS free; give TOKENS too")),
    ),
    dialogue(
        "what alone exceeds the budget is skipped or cut or an error",
        step("MEMAPPEND <key> user one user", LONG, "user", "three", gives=appended(3, 3, 54)),
        step("MEMREAD <key> TOKENS 20", gives=SKIPPED),
        step("MEMREAD <key> TOKENS 20 OVERSIZE SKIP", gives=SKIPPED),
        step(
            "MEMREAD <key> TOKENS 20 OVERSIZE TRUNCATE",
            gives=read(
                message("user", "word" + " word" * 10, 15, truncated="true"),
                message("user", "three"),
                of=3,
                total=54,
                more=True,
            ),
        ),
        step("MEMREAD <key> TOKENS 20 OVERSIZE ERROR", gives=Refusal("OVERBUDGET ")),
        step("MEMREAD <key> OVERSIZE SKIP", gives=Refusal("ERR OVERSIZE says what becomes of a message ")),
        step(
            "MEMREAD <key> TOKENS 20 OVERSIZE KEEP",
            gives=Refusal("ERR OVERSIZE takes SKIP, TRUNCATE or ERROR, not 'KEEP'"),
        ),
    ),
    dialogue(
        "a count is of the newest and after an id of the oldest",
        STORED,
        IDS,
        step("MEMREAD <key> COUNT 2", gives=read(TWO, THREE, more=True)),
        step("MEMREAD <key> COUNT 9", gives=read(BE, ONE, TWO, THREE)),
        step("MEMREAD <key> SINCE <id-be> COUNT 2", gives=read(ONE, TWO, more=True)),
    ),
    dialogue(
        "reads since and before an id",
        STORED,
        IDS,
        step("MEMREAD <key> SINCE <id-one>", gives=read(TWO, THREE)),
        step("MEMREAD <key> BEFORE <id-two>", gives=read(BE, ONE)),
        step("MEMREAD <key> SINCE <id-be> BEFORE <id-three>", gives=read(ONE, TWO)),
        step("MEMREAD <key> SINCE nonsense", gives=Refusal("ERR SINCE takes a message id such as ")),
    ),
    dialogue(
        "reads of some roles",
        STORED,
        IDS,
        step("MEMREAD <key> ROLE user", gives=read(ONE, THREE)),
        step("MEMREAD <key> ROLE system Assistant COUNT 9", gives=read(BE, TWO)),
        step("MEMREAD <key> ROLE robot", gives=Refusal("ERR ROLE takes one role or more of ")),
    ),
    dialogue(
        "the formats of the chat APIs",
        STORED,
        IDS,
        step("MEMREAD <key> FORMAT RESP", gives=read(BE, ONE, TWO, THREE)),
        step(
            "MEMREAD <key> FORMAT OPENAI",
            gives='[{"role":"system","content":"be"},{"role":"user","content":"one"},'
            '{"role":"assistant","content":"two"},{"role":"user","content":"three"}]',
        ),
        step(
            "MEMREAD <key> FORMAT anthropic",
            gives='{"system":[{"type":"text","text":"be"}],'
            '"messages":[{"role":"user","content":[{"type":"text","text":"one"}]},'
            '{"role":"assistant","content":[{"type":"text","text":"two"}]},'
            '{"role":"user","content":[{"type":"text","text":"three"}]}]}',
        ),
        step("MEMREAD <key> FORMAT XML", gives=Refusal("ERR FORMAT takes RESP, OPENAI or ANTHROPIC, not 'XML'")),
    ),
    dialogue(
        "a tool call and its results come together or not at all",
        step("MEMAPPEND <key> JSON", ASKING, ANSWERING, gives=appended(2, 2, 31)),
        step("MEMREAD <key> COUNT 1", gives=read(of=2, total=31, more=True, left=1)),
        step("MEMREAD <key> TOKENS 30", gives=read(of=2, total=31, left=2)),
        step(
            "MEMREAD <key> TOKENS 31",
            gives=read(
                message("assistant", None, 26, tool_calls=f"[{CALL}]"),
                message("tool", "seen", tool_call_id="c1"),
                of=2,
                total=31,
            ),
        ),
    ),
    dialogue(
        "a wait ends at once where there is a message and after its time where there is none",
        STORED,
        IDS,
        step("MEMREAD <key> SINCE <id-two> BLOCK 60000", gives=read(THREE)),
        step("MEMREAD <key> SINCE <id-three> BLOCK 1", gives=read()),
        step("MEMREAD <key> SINCE $ BLOCK 1", gives=read()),
        step("MEMREAD <key> SINCE $", gives=Refusal("ERR SINCE $ means 'from now on', which only BLOCK can wait for")),
        step("MEMREAD <key> BLOCK 1", gives=Refusal("ERR BLOCK waits for a message after SINCE")),
    ),
    dialogue(
        "the context of a read renders its key",
        STORED,
        IDS,
        step("MEMREAD {{m}} CONTEXT", '{"m":"<key>"}', gives=read(BE, ONE, TWO, THREE)),
    ),
    dialogue(
        "reads without extending the life",
        step("MEMAPPEND mortal:<key> user hello", gives=appended(1, 1, 5)),
        step("MEMREAD mortal:<key> PEEK", gives=read(message("user", "hello"), of=1, total=5)),
    ),
    dialogue(
        "the summary comes first and only where it is wanted",
        step(
            "MEMAPPEND small:<key> user", LONG, "user", LONG, "user", LONG, "user", "hello", gives=appended(4, 4, 137)
        ),
        step(
            "MEMFLUSH small:<key> TARGET 60 WAIT 10000",
            gives=done(3, 1, 5, 132, "hybrid_summary", summary=SUMMARY_TOKENS),
        ),
        step("MEMREAD small:<key>", gives=read(message("user", "hello"), of=1, total=37, summary="<text-summary>")),
        step("MEMREAD small:<key> NOSUMMARY", gives=read(message("user", "hello"), of=1, total=37)),
        step(
            "MEMREAD small:<key> TOKENS 37",
            gives=read(message("user", "hello"), of=1, total=37, summary="<text-summary>"),
        ),
        step("MEMREAD small:<key> TOKENS 36", gives=read(of=1, total=37, left=1, summary="<text-summary>")),
    ),
)
