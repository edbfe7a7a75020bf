"""MEMFLUSH."""

from __future__ import annotations

from tests.e2e.contract.appending import LEASE, appended
from tests.e2e.dialogue import Refusal, Reply, dialogue, step

STORED = step("MEMAPPEND <key>" + " user hello" * 10, gives=appended(10, 10, 50))


def done(removed: int, messages: int, tokens: int, freed: int, strategy: str = "fifo", *, summary: int = 0) -> Reply:
    """Return the reply of a flush that was waited for."""
    return {
        "status": "done",
        "workflow-id": "<text>",
        "run-id": "<text>",
        "strategy": strategy,
        "removed": removed,
        "messages": messages,
        "tokens": tokens,
        "tokens-freed": freed,
        "summary-tokens": summary,
        "duration-ms": "<number>",
        "shortened": 0,
    }


FLUSHING = (
    dialogue(
        "a memory under its threshold is left alone",
        STORED,
        step("MEMFLUSH <key>", gives={"status": "not-due"}),
        step("MEMFLUSH <key> WAIT 10000", gives={"status": "not-due"}),
        step(
            "MEMFLUSH <key>-unknown FORCE WAIT 10000",
            gives={
                "status": "not-due",
                "workflow-id": "<text>",
                "run-id": "<text>",
                "removed": 0,
                "messages": 0,
                "tokens": 0,
                "tokens-freed": 0,
                "summary-tokens": 0,
                "duration-ms": 0,
                "shortened": 0,
            },
        ),
    ),
    dialogue(
        "a forced flush removes the older half",
        STORED,
        step("MEMFLUSH <key> FORCE STRATEGY fifo WAIT 10000", gives=done(5, 5, 25, 25)),
        step(
            "MEMFLUSH <key> STRATEGY dream",
            gives=Refusal(
                "ERR STRATEGY takes one of fifo, hybrid_summary, lru, priority, token_aware_lru, tool_trim, not 'dream'"
            ),
        ),
    ),
    dialogue(
        "a plan changes nothing",
        STORED,
        step(
            "MEMFLUSH <key> FORCE STRATEGY fifo DRYRUN",
            gives={
                "status": "would-flush",
                "strategy": "fifo",
                "removed": 5,
                "messages": 5,
                "tokens": 25,
                "tokens-freed": 25,
                "shortened": 0,
            },
        ),
        step("MEMFLUSH <key> DRYRUN", gives={"status": "not-due"}),
        step("MEMCLEAR <key>", gives=10),
    ),
    dialogue(
        "an undo puts back what the last flush took, once",
        STORED,
        step("MEMFLUSH <key> UNDO", gives={"status": "nothing-to-undo"}),
        step("MEMFLUSH <key> FORCE STRATEGY fifo WAIT 10000", gives=done(5, 5, 25, 25)),
        step("MEMAPPEND <key> user later", gives=appended(1, 6, 30)),
        step("MEMLOCK <key> 60000", gives=LEASE),
        step(
            "MEMFLUSH <key> UNDO",
            gives=Refusal("LOCKED somebody else holds the lock of this memory for <number> ms more"),
        ),
        step("MEMUNLOCK <key> <text-token>", gives=1),
        step(
            "MEMFLUSH {{m}} UNDO CONTEXT",
            '{"m":"<key>"}',
            gives={"status": "undone", "messages": 11, "tokens": 55, "summary-tokens": 0, "restored": 5},
        ),
        step("MEMFLUSH <key> UNDO", gives={"status": "nothing-to-undo"}),
        step("MEMFLUSH <key> UNDO FORCE", gives=Refusal("ERR UNDO goes with no other option but CONTEXT")),
    ),
    dialogue(
        "a target of its own makes a flush due",
        STORED,
        step("MEMFLUSH <key> TARGET 50 STRATEGY fifo WAIT 10000", gives={"status": "not-due"}),
        step("MEMFLUSH <key> TARGET 20 STRATEGY fifo WAIT 10000", gives=done(6, 4, 20, 30)),
    ),
    dialogue(
        "the context of a flush renders its key",
        STORED,
        step("MEMFLUSH {{m}} FORCE STRATEGY fifo WAIT 10000 CONTEXT", '{"m":"<key>"}', gives=done(5, 5, 25, 25)),
    ),
    dialogue(
        "a second request joins the flush that runs and nobody waits longer than asked",
        STORED,
        step("MEMLOCK <key> 60000", gives=LEASE),
        step(
            "MEMFLUSH <key> FORCE STRATEGY fifo",
            gives={"status": "started", "workflow-id": "<text-workflow>", "run-id": "<text-run>"},
        ),
        step(
            "MEMFLUSH <key> FORCE",
            gives={"status": "joined", "workflow-id": "<text-workflow>", "run-id": "<text-run>"},
        ),
        step("MEMFLUSH <key> FORCE WAIT 20", gives=Refusal("TIMEOUT the flush was not done within 20 ms; it goes on")),
        step(
            "MEMAPPEND <key> LOCK <text-token> user more",
            gives=appended(1, 11, 55, flush="running"),
        ),
        step("MEMUNLOCK <key> <text-token>", gives=1),
    ),
)
