"""Keys that are templates, or bare definition ids."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.e2e.contract.appending import appended
from tests.e2e.dialogue import Dialogue, Refusal, Step, dialogue, step

CONTEXT = {
    "workflow": {
        "id": "w",
        "exec_id": "e7",
        "status": "RUNNING",
        "input": {"city": {"name": "Rotterdam"}},
        "output": {"sum": 3},
    },
    "project": {"id": "p", "name": "Shop", "version": "1.2", "description": "short"},
    "task": {"id": "t", "type": "basic", "action": "ask", "with": {"x": 1}, "env": {"STAGE": "dev"}},
    "tasks": {"load": {"output": {"rows": [{"id": "r0"}, {"id": "r1"}]}}},
    "task_input": "ti",
    "agent": {"id": "a1"},
    "user": {"id": "ann"},
    "session": {"id": "s1"},
    "input": {"n": 5},
    "output": "o",
    "with": {"flag": True},
    "env": {"HOME": "h"},
    "config": {"k": "v"},
    "item": "it",
    "index": 4,
    "parent": {"id": "pa"},
    "current": {"id": "cu"},
    "timestamp": 1732312345678,
}

NAMES = {
    "workflow.id": "w",
    "workflow.exec_id": "e7",
    "workflow.status": "RUNNING",
    "workflow.input.city.name": "Rotterdam",
    "workflow.output.sum": "3",
    "project.id": "p",
    "project.name": "Shop",
    "project.version": "1.2",
    "project.description": "short",
    "task.id": "t",
    "task.type": "basic",
    "task.action": "ask",
    "task.with.x": "1",
    "task.env.STAGE": "dev",
    "tasks.load.output.rows[1].id": "r1",
    "task_input": "ti",
    "agent.id": "a1",
    "user.id": "ann",
    "session.id": "s1",
    "input.n": "5",
    "output": "o",
    "with.flag": "true",
    "env.HOME": "h",
    "config.k": "v",
    "item": "it",
    "index": "4",
    "parent.id": "pa",
    "current.id": "cu",
    "timestamp": "1732312345678",
}
"""Every variable of the contract, and what it is in `CONTEXT`."""

FILTERS = {
    "{{ no.such | default('d') }}": "d",
    '{{ .no.such | default "d" }}': "d",
    "{{ workflow.status | lower }}": "running",
    "{{ user.id | upper }}": "ANN",
    "{{ project.description | trim }}": "short",
    "{{ project.version | replace('.', '-') }}": "1-2",
    '{{ .project.version | replace "." "-" }}': "1-2",
    "{{ words | join('-') }}": "a-b",
    "{{ project.description | trunc(2) }}": "sh",
    "{{ .workflow.status | lower | trunc 3 }}": "run",
    "{{user.id}}/{{.session.id}}": "ann/s1",
}
"""Keys with filters, or several templates, and what they render to."""

SET = step("MEMCONTEXT", json.dumps({**CONTEXT, "words": ["a", "b"]}), gives="OK")


def _meets(key: str, rendered: str) -> tuple[Step, Step]:
    """Return the steps by which a template and a plain key name the same memory."""
    return (
        step("MEMAPPEND", f"<key>:{key}", "user", "hello", gives=appended(1, 1, 5)),
        step(f"MEMAPPEND <key>:{rendered} user hello", gives=appended(1, 2, 10)),
    )


def _all_meet(promise: str, pairs: Mapping[str, str]) -> Dialogue:
    """Return a dialogue in which each template names the memory of what it renders to."""
    return dialogue(promise, SET, *(each for key, rendered in pairs.items() for each in _meets(key, rendered)))


ADDRESSING = (
    _all_meet("every variable can be named", {f"{{{{ {name} }}}}": value for name, value in NAMES.items()}),
    _all_meet("every variable can be named as in Go", {f"{{{{ .{name} }}}}": value for name, value in NAMES.items()}),
    *(dialogue(f"{key} is {value}", SET, *_meets(key, value)) for key, value in FILTERS.items()),
    dialogue(
        "a template names the definition too",
        step("MEMCONTEXT", '{"kind":"few"}', gives="OK"),
        step("MEMAPPEND {{kind}}:<key> user hello", gives=appended(1, 1, 5)),
        step("MEMLIST", gives=["0", ["few:<key>"]]),
    ),
    dialogue(
        "a bare definition id is what its template makes of the context",
        step("MEMAPPEND named CONTEXT", '{"workflow":{"id":"<key>"}}', "user", "hello", gives=appended(1, 1, 5)),
        step("MEMAPPEND named:<key> user hello", gives=appended(1, 2, 10)),
        step("MEMCONTEXT", '{"workflow":{"id":"<key>"}}', gives="OK"),
        step("MEMAPPEND named user hello", gives=appended(1, 3, 15)),
        step("MEMCLEAR named", gives=3),
        step("MEMCONTEXT CLEAR", gives="OK"),
        step("MEMAPPEND named user hello", gives=Refusal("TEMPLATE there is no 'workflow.id' in the context")),
    ),
    dialogue(
        "both contexts are united and the command's own wins",
        step("MEMCONTEXT", '{"user":{"id":"ann","team":"red"}}', gives="OK"),
        step(
            "MEMAPPEND {{user.team}}-{{user.id}}-<key> CONTEXT",
            '{"user":{"id":"bob"}}',
            "user",
            "hello",
            gives=appended(1, 1, 5),
        ),
        step("MEMAPPEND red-bob-<key> user hello", gives=appended(1, 2, 10)),
        step("MEMCONTEXT", gives='{"user":{"id":"ann","team":"red"}}'),
    ),
    dialogue(
        "a reset drops the context",
        step("MEMCONTEXT", '{"a":"b"}', gives="OK"),
        step("RESET", gives="RESET"),
        step("MEMCONTEXT", gives="{}"),
    ),
    dialogue(
        "a template that does not render is told",
        step(
            "MEMREAD {{missing.name}}",
            gives=Refusal("TEMPLATE there is no 'missing.name' in the context; give it with "),
        ),
        step("MEMREAD", "{{ 7 * 7 }}", gives=Refusal("TEMPLATE ")),
        step("MEMREAD {{open", gives=Refusal("TEMPLATE ")),
        step("MEMREAD {{user}} CONTEXT", '{"user":{"id":"ann"}}', gives=Refusal("TEMPLATE 'user' is an object; ")),
        step(
            "MEMREAD {{user}} CONTEXT", '{"user":"a b"}', gives=Refusal("BADKEY byte 0x20 at offset 1 is not allowed")
        ),
        step("MEMREAD {{user}} CONTEXT", '{"user":""}', gives=Refusal("BADKEY the instance is empty")),
    ),
)
