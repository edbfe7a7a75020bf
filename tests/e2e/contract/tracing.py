"""TRACEPARENT, which changes no reply."""

from __future__ import annotations

from tests.commands.test_traceparent import VALUE
from tests.e2e.contract.appending import LEASE, appended
from tests.e2e.contract.living import info
from tests.e2e.contract.reading import read
from tests.e2e.dialogue import Refusal, dialogue, step

TRACED = f"TRACEPARENT {VALUE}"

TRACING = (
    dialogue(
        "every command with a key takes the caller's trace directly behind it",
        step(f"MEMAPPEND <key> {TRACED} IDEMPOTENT <key> user hello user hello", gives=appended(2, 2, 10)),
        step(f"MEMINFO <key>-other {TRACED} CONTEXT {{}}", gives=info()),
        step(f"MEMREAD <key>-other traceparent {VALUE} COUNT 1", gives=read(of=0, total=0)),
        step(f"MEMFLUSH <key> {TRACED}", gives={"status": "not-due"}),
        step(f"MEMPIN <key> {TRACED} 1-0", gives=0),
        step(f"MEMUNPIN <key> {TRACED} 1-0", gives=0),
        step(f"MEMDEL <key> {TRACED} 1-0", gives=0),
        step(f"MEMFORK <key> <key>-copy {TRACED}", gives=appended(2, 2, 10)),
        step(f"MEMWRITE <key> {TRACED} user hello", gives=appended(1, 1, 5)),
        step(f"MEMLOCK <key> {TRACED} 60000", gives=LEASE),
        step(f"MEMUNLOCK <key> {TRACED} <text-token>", gives=1),
        step(f"MEMCLEAR <key> {TRACED}", gives=1),
    ),
    dialogue(
        "a trace elsewhere, or none, is refused, and nothing is stored",
        step("MEMAPPEND <key> TRACEPARENT nonsense user hello", gives=Refusal("ERR TRACEPARENT takes the header of ")),
        step("MEMAPPEND <key> TRACEPARENT", gives=Refusal("ERR TRACEPARENT expects a value after it")),
        step(
            f"MEMAPPEND <key> CONTEXT {{}} {TRACED} user hello",
            gives=Refusal("ERR TRACEPARENT stands directly behind the key, in front of all other options"),
        ),
        step(f"MEMUNLOCK <key> {TRACED}", gives=Refusal("ERR wrong number of arguments for 'memunlock' command")),
        step("MEMCLEAR <key>", gives=0),
    ),
)
