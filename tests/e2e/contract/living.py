"""The rest of a memory's life: MEMINFO, MEMCLEAR, MEMDEL, MEMPIN, MEMUNPIN, MEMFORK, MEMLIST."""

from __future__ import annotations

from typing import Any

from tests.e2e.contract.appending import ANSWERING, ASKING, LEASE, appended
from tests.e2e.contract.flushing import done
from tests.e2e.contract.reading import BE, IDS, ONE, STORED, THREE, TWO, read
from tests.e2e.dialogue import Refusal, Reply, dialogue, step


def info(**others: Any) -> Reply:
    """Return the state of a memory; `last_id` stands for `last-id` and so on."""
    empty = {
        "messages": 0,
        "tokens": 0,
        "summary-tokens": 0,
        "pinned-tokens": 0,
        "limit-tokens": 128_000,
        "limit-messages": None,
        "usage": 0.0,
        "near-limit": False,
        "health": "ok",
        "flush": "none",
        "flush-due-since-ms": None,
        "last-flush-ms": None,
        "last-flush-strategy": None,
        "last-flush-error": None,
        "epoch": None,
        "ttl-ms": None,
        "locked": False,
        "encoding": "o200k_base",
        "first-id": None,
        "last-id": None,
    }
    return empty | {name.replace("_", "-"): value for name, value in others.items()}


LIVING = (
    dialogue(
        "the state of a memory that is not there",
        step("MEMINFO <key>", gives=info()),
        step("MEMINFO old:<key>", gives=info(encoding="cl100k_base")),
    ),
    dialogue(
        "the state of a memory with limits and an instruction",
        step("MEMAPPEND small:<key> system be user hello", gives=appended(2, 2, 10, ids=("<id-1>", "<id-2>"))),
        step(
            "MEMINFO small:<key>",
            gives=info(
                messages=2,
                tokens=10,
                pinned_tokens=5,
                limit_tokens=1_000,
                limit_messages=100,
                usage=0.02,
                epoch="<number>",
                first_id="<id-1>",
                last_id="<id-2>",
            ),
        ),
    ),
    dialogue(
        "the state of a memory that is locked and mortal",
        step("MEMAPPEND mortal:<key> user hello", gives=appended(1, 1, 5, ids=("<id-1>", "<id-1>"))),
        step("MEMLOCK mortal:<key> 60000", gives=LEASE),
        step(
            "MEMINFO mortal:<key>",
            gives=info(
                messages=1,
                tokens=5,
                epoch="<number>",
                ttl_ms="<number>",
                locked=True,
                first_id="<id-1>",
                last_id="<id-1>",
            ),
        ),
    ),
    dialogue(
        "the state of a memory that was flushed",
        step("MEMAPPEND few:<key>" + " user hello" * 8, gives=appended(8, 8, 40, ids=("<id-1>", "<id-8>"))),
        step("MEMFLUSH few:<key> FORCE WAIT 10000", gives=done(4, 4, 20, 20)),
        step(
            "MEMINFO few:<key>",
            gives=info(
                messages=4,
                tokens=20,
                limit_tokens=None,
                limit_messages=10,
                usage=0.4,
                last_flush_ms="<number>",
                last_flush_strategy="fifo",
                epoch="<number>",
                first_id="<id>",
                last_id="<id-8>",
            ),
        ),
    ),
    dialogue(
        "the state of a memory near its limit",
        step("MEMAPPEND few:<key>" + " user hello" * 8, gives=appended(8, 8, 40, ids=("<id-1>", "<id-8>"))),
        step(
            "MEMINFO few:<key>",
            gives=info(
                messages=8,
                tokens=40,
                limit_tokens=None,
                limit_messages=10,
                usage=0.8,
                near_limit=True,
                epoch="<number>",
                first_id="<id-1>",
                last_id="<id-8>",
            ),
        ),
    ),
    dialogue(
        "the context of a question for the state renders its key",
        step("MEMAPPEND a-<key> user hello", gives=appended(1, 1, 5)),
        step(
            "MEMINFO {{a}}-<key> CONTEXT",
            '{"a":"a"}',
            gives=info(messages=1, tokens=5, epoch="<number>", first_id="<id-1>", last_id="<id-1>"),
        ),
    ),
    dialogue(
        "clearing removes everything and can be repeated",
        STORED,
        step("MEMCLEAR {{m}} CONTEXT", '{"m":"<key>"}', gives=4),
        step("MEMCLEAR <key>", gives=0),
        step("MEMINFO <key>", gives=info()),
    ),
    dialogue(
        "the holder of the lease clears and others do not",
        step("MEMAPPEND quick:<key> user hello", gives=appended(1, 1, 5)),
        step("MEMLOCK quick:<key> 60000", gives=LEASE),
        step("MEMCLEAR quick:<key>", gives=Refusal("LOCKED ")),
        step("MEMCLEAR quick:<key> LOCK nonsense", gives=Refusal("STALELOCK ")),
        step("MEMCLEAR quick:<key> LOCK <text-token>", gives=1),
    ),
    dialogue(
        "single messages are deleted",
        STORED,
        IDS,
        step("MEMDEL <key> <id-one> <id-three> 1-1", gives=2),
        step("MEMREAD <key>", gives=read(BE, TWO, of=2, total=10)),
        step("MEMDEL <key> nonsense", gives=Refusal("ERR MEMDEL expects message ids such as ")),
    ),
    dialogue(
        "the other half of a tool pair is deleted where that is wanted",
        step("MEMAPPEND <key> JSON", ASKING, ANSWERING, gives=appended(2, 2, 31, ids=("<id-1>", "<id-2>"))),
        step("MEMDEL <key> <id-2>", gives=1),
        step("MEMWRITE <key> JSON", ASKING, ANSWERING, gives=appended(2, 2, 31, ids=("<id-3>", "<id-4>"))),
        step("MEMDEL <key> PAIRS <id-4>", gives=2),
    ),
    dialogue(
        "the holder of the lease deletes and others do not",
        step("MEMAPPEND quick:<key> user hello", gives=appended(1, 1, 5, ids=("<id-1>", "<id-1>"))),
        step("MEMLOCK quick:<key> 60000", gives=LEASE),
        step("MEMDEL quick:<key> <id-1>", gives=Refusal("LOCKED ")),
        step("MEMDEL quick:<key> LOCK nonsense <id-1>", gives=Refusal("STALELOCK ")),
        step("MEMDEL quick:<key> LOCK <text-token> <id-1>", gives=1),
    ),
    dialogue(
        "what is pinned is in every budget until it is not",
        STORED,
        IDS,
        step("MEMPIN <key> <id-one> <id-be> 1-1", gives=1),
        step("MEMPIN <key> <id-one>", gives=0),
        step("MEMREAD <key> TOKENS 15", gives=read(BE, ONE, THREE, more=True)),
        step("MEMUNPIN <key> <id-one> <id-two>", gives=1),
        step("MEMUNPIN <key> <id-one>", gives=0),
        step("MEMREAD <key> TOKENS 15", gives=read(BE, TWO, THREE, more=True)),
    ),
    dialogue(
        "a copy has the messages of its source with their ids",
        STORED,
        IDS,
        step("MEMFORK <key> <key>-all", gives=appended(4, 4, 20, ids=("<id-be>", "<id-three>"))),
        step("MEMREAD <key>-all", gives=read(BE, ONE, TWO, THREE)),
        step("MEMFORK <key> <key>-some AT <id-one>", gives=appended(2, 2, 10, ids=("<id-be>", "<id-one>"))),
        step("MEMREAD <key>-some", gives=read(BE, ONE, of=2, total=10)),
        step("MEMFORK <key> <key>-some", gives=Refusal("ERR the target of MEMFORK is not empty; nothing was copied")),
        step("MEMFORK <key> <key>", gives=Refusal("ERR source and target of MEMFORK are the same memory")),
    ),
    dialogue(
        "a copy of nothing is nothing",
        step("MEMFORK frozen:<key> <key>", gives=appended(0, 0, 0, ids=(None, None))),
    ),
    dialogue(
        "nothing waits for a flush",
        step("MEMAPPEND <key> user hello", gives=appended(1, 1, 5)),
        step("MEMLIST DUE", gives=["<text-cursor>", []]),
        step("MEMLIST <text-cursor> COUNT 1 DUE MATCH *", gives=["<text>", []]),
    ),
    dialogue(
        "all memories are listed",
        step("MEMAPPEND <key> user hello", gives=appended(1, 1, 5)),
        step("MEMLIST", gives=["0", ["default:<key>"]]),
        step("MEMLIST 0", gives=["0", ["default:<key>"]]),
        step("MEMLIST 0 MATCH default:* COUNT 1000", gives=["0", ["default:<key>"]]),
        step("MEMLIST MATCH few:*", gives=["0", []]),
        step(
            "MEMLIST nonsense",
            gives=Refusal("ERR the cursor is 0 at first, then what the last reply gave, not 'nonsense'"),
        ),
    ),
)
