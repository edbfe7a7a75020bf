"""Keys that are templates, through redis-py: every variable of a workflow engine, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
import redis.exceptions

from sidecar.dev.servers import RedisServer, SidecarProcess
from tests.e2e.agents import SPACE, as_map, run
from tests.support.children import Children, StartSidecar

DEFINITIONS = [
    {"id": "default"},
    {"id": "chat", "key_template": "{{ .workflow.id }}/{{ user.name | trim | lower | replace(' ', '-') }}"},
]

CONTEXT: dict[str, Any] = {
    "workflow": {
        "id": "support",
        "exec_id": "2x4Kq",
        "status": "RUNNING",
        "input": {"city": "Rome", "items": [{"name": "first"}, {"name": "second"}]},
        "output": {"total": 7},
    },
    "project": {"id": "shop", "name": "Shop", "version": "1.2.3", "description": "sells"},
    "task": {"id": "t1", "type": "basic", "action": "ask", "with": {"x": 1}, "env": {"HOME": "/root"}},
    "tasks": {"first": {"output": {"answer": "yes"}}, "my-task": {"output": {"id": 5, "tags": ["a", "b"]}}},
    "task_input": "ti",
    "agent": {"id": "agent-1"},
    "user": {"id": "u@x.org", "name": " Ann Bell "},
    "session": {"id": "s_1"},
    "input": {"question": "why"},
    "output": "out",
    "with": {"get": "w"},
    "env": {"REGION": "eu-1"},
    "config": {"mode": "m"},
    "item": ["a", "b"],
    "index": 3,
    "parent": {"id": "p", "input": {"deep": {"deeper": {"deepest": "down"}}}},
    "current": {"id": "c"},
    "timestamp": 1732312345,
    "yes": True,
    "half": 0.5,
    "nothing": None,
}

VARIABLES = {
    "workflow.id": "support",
    "workflow.exec_id": "2x4Kq",
    "workflow.status": "RUNNING",
    "workflow.input.city": "Rome",
    "workflow.input.items.1.name": "second",
    "workflow.output.total": "7",
    "project.id": "shop",
    "project.name": "Shop",
    "project.version": "1.2.3",
    "project.description": "sells",
    "task.id": "t1",
    "task.type": "basic",
    "task.action": "ask",
    "task.with.x": "1",
    "task.env.HOME": "/root",
    "tasks.first.output.answer": "yes",
    "task_input": "ti",
    "agent.id": "agent-1",
    "user.id": "u@x.org",
    "session.id": "s_1",
    "input.question": "why",
    "output": "out",
    "with.get": "w",
    "env.REGION": "eu-1",
    "config.mode": "m",
    "item.0": "a",
    "index": "3",
    "parent.id": "p",
    "parent.input.deep.deeper.deepest": "down",
    "current.id": "c",
    "timestamp": "1732312345",
    "yes": "true",
    "half": "0.5",
}

EXPRESSIONS = {
    "{{ nowhere | default('x') }}": "x",
    '{{ .nowhere.at.all | default "x" | upper }}': "X",
    "{{ nothing | default(user.id) }}": "u@x.org",
    "{{ workflow.input.city | lower }}": "rome",
    "{{ .workflow.input.city | upper }}": "ROME",
    "{{ user.name | trim | replace(' ', '_') }}": "Ann_Bell",
    '{{ .user.name | trim | replace " " "_" | trunc 3 }}': "Ann",
    "{{ item | join('-') }}": "a-b",
    '{{ .tasks["my-task"].output.tags | join "/" }}': "a/b",
    "{{ tasks['my-task'].output.id }}": "5",
    "{{ workflow.exec_id | trunc(-2) }}": "Kq",
    "{{workflow.id}}:{{.agent.id}}": "support:agent-1",
    "a/{{ index }}/{{ .item.1 }}.z": "a/3/b.z",
    "{{- workflow.id -}}": "support",
    "{{ `a` | default `b` }}": "a",
}

MISSING = {
    "{{ workflow.input.town }}": "workflow.input.town",
    "{{ .nobody.id }}": "nobody.id",
    "{{ tasks['other'].output }}": "tasks.other.output",
    "{{ item.2 }}": "item.2",
    "{{ user.name.first | upper }}": "user.name.first",
    "{{ workflow.id }}{{ .nobody }}": "nobody",
}

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ config.__class__.__init__.__globals__['os'].popen('id').read() }}",
    "{{ workflow['__class__'] }}",
    "{{ workflow['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ workflow | attr('__class__') }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ request.application.__globals__ }}",
    "{{ workflow.items() }}",
    "{{ workflow.id.format(workflow) }}",
    "{{ '{0.__class__}'.format(workflow) }}",
    "{{ '%s' | format(workflow) }}",
    "{{ [workflow] | map(attribute='__class__') | list }}",
    "{{ dict(a=1) }}",
    "{{ range(10**9) | join }}",
    "{{ 'a' * 10**9 }}",
    "{{ 9**9**9 }}",
    "{{ '" + "a" * 2_000 + "' | replace('a', '" + "b" * 2_000 + "') }}",
    "{{ (lambda: 1)() }}",
    "{{ workflow.id if true else 2 }}",
    "{% for x in item %}{{ x }}{% endfor %}",
    "{{ 1 }}{% set x = 1 %}{{ x }}",
    "{{ 1 }}{% include '/etc/passwd' %}",
    "{{ 1 }}{% import 'os' as os %}",
    "{{ 1 }}{# comment #}",
    "{{ workflow | tojson }}",
    "{{ workflow | pprint }}",
    "{{ workflow | xmlattr }}",
    "{{ workflow }}",
    "{{ item }}",
    "{{ nothing }}",
    '{{ env "HOME" }}',
    '{{ .Env.HOME | printf "%s" }}',
    "{{ template `x` }}",
    "{{ call .workflow }}",
    "{{ index .item 1 }}",
    "{{ a" + ".b" * 1_000 + " }}",
    "{{ " + "(" * 1_000 + " }}",
    "{{",
    "{{ }}",
]


@pytest.fixture(scope="module")
def sidecar(
    shared_children: Children, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> SidecarProcess:
    """One sidecar for the whole module; every test empties the Redis behind it."""
    definitions = tmp_path_factory.mktemp("templates") / "definitions.yaml"
    definitions.write_text(json.dumps({"definitions": DEFINITIONS}))
    return StartSidecar(shared_children)(redis_url=redis_server.url, definitions=definitions)


@pytest.fixture
async def client(sidecar: SidecarProcess, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A connection to the sidecar that has the context, on an empty Redis."""
    assert redis_url
    async with redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as connected:
        assert await run(connected, "MEMCONTEXT", json.dumps(CONTEXT)) in ("OK", b"OK")
        yield connected


async def instances(redis_client: redis.asyncio.Redis, definition: str = "default") -> set[str]:
    """Return the instances of a definition that are there, as Redis has them."""
    keys: Any = await redis_client.keys("mem:log:*")
    names = [key.decode().partition("}:")[2] for key in keys]
    return {instance for found, instance in map(SPACE.parse, names) if found == definition}


@pytest.mark.parametrize("name", VARIABLES)
async def test_every_variable(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis, name: str) -> None:
    """Each variable of the contract is there by its name, in both spellings, alone and among others."""
    value = VARIABLES[name]
    await run(client, "MEMAPPEND", f"{{{{ {name} }}}}", "user", "hello")
    assert as_map(await run(client, "MEMAPPEND", f"{{{{.{name}}}}}", "user", "hello"))["messages"] == 2
    await run(client, "MEMAPPEND", f"default:{{{{ .{name} }}}}-{{{{{name}}}}}", "user", "hello")
    assert await instances(redis_client) == {value, f"{value}-{value}"}


@pytest.mark.parametrize("template", EXPRESSIONS)
async def test_filters(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis, template: str) -> None:
    """Filters, indexes and several parts, in Jinja's spelling and in Go's."""
    await run(client, "MEMAPPEND", template, "user", "hello")
    assert await instances(redis_client) == {EXPRESSIONS[template]}


@pytest.mark.parametrize("template", MISSING)
async def test_a_missing_variable_is_named(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis, template: str
) -> None:
    """The error has the whole path of what the context lacks; nothing is stored, and the connection lives."""
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        await run(client, "MEMAPPEND", template, "user", "hello")
    assert str(refused.value).startswith("TEMPLATE ")
    assert f"there is no '{MISSING[template]}' in the context" in str(refused.value)
    assert await redis_client.dbsize() == 0
    assert await client.ping()


@pytest.mark.parametrize("template", ESCAPES)
async def test_there_is_nothing_to_escape_to(
    client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis, template: str
) -> None:
    """What is no name, constant or filter is an error in words, tells nothing of Python, and stores nothing."""
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        await run(client, "MEMAPPEND", template, "user", "hello")
    said = str(refused.value)
    assert said.startswith(("TEMPLATE ", "BADKEY "))
    assert len(said) < 1_000
    for leak in ("<class", "object at 0x", "Traceback", "site-packages", "/root", "environ({"):
        assert leak not in said
    assert await redis_client.dbsize() == 0
    assert await client.ping()


async def test_values_are_no_templates(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """What a context says is put in as it is: a template in it is not rendered, and its braces are in no valid key."""
    for value in ("{{ workflow.id }}", "{% x %}", "a b", "é", "\r\n", "\0", "a?b", "[a]", "", "x" * 257):
        with pytest.raises(redis.exceptions.ResponseError, match="BADKEY"):
            await run(client, "MEMAPPEND", "{{ v }}", "CONTEXT", json.dumps({"v": value}), "user", "hello")
    with pytest.raises(redis.exceptions.ResponseError, match=r"BADKEY '\{' at offset 5 is not allowed in a key"):
        await run(client, "MEMAPPEND", "chat:{{ v }}", "CONTEXT", '{"v": "{{x}}"}', "user", "hello")
    assert await redis_client.dbsize() == 0
    for value in ("x" * 256, "a:b/c@d.e_f-g*"):
        await run(client, "MEMAPPEND", "{{ v }}", "CONTEXT", json.dumps({"v": value}), "user", "hello")
    assert await instances(redis_client) == {"x" * 256, "a:b/c@d.e_f-g*"}


async def test_the_key_of_a_bare_definition(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """A bare id stands for what its definition's template makes of the context."""
    await run(client, "MEMAPPEND", "chat", "user", "hello")
    await run(client, "MEMAPPEND", "chat", "CONTEXT", '{"user": {"name": "Bo"}}', "user", "hello")
    assert await instances(redis_client, "chat") == {"support/ann-bell", "support/bo"}
    await run(client, "MEMCONTEXT", "CLEAR")
    with pytest.raises(redis.exceptions.ResponseError, match=r"TEMPLATE .*there is no 'workflow.id'"):
        await run(client, "MEMAPPEND", "chat", "user", "hello")


async def test_every_command_takes_one(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """Wherever a key stands a template may stand; where CONTEXT may, it wins over the connection's."""
    here, there = "{{ workflow.id }}", json.dumps({"workflow": {"id": "there"}})
    for name, rest in (
        ("MEMAPPEND", ("user", "hello")), ("MEMWRITE", ("user", "hello", "user", "again")), ("MEMINFO", ()),
        ("MEMREAD", ()), ("MEMFLUSH", ("DRYRUN",)),
    ):  # fmt: skip
        mine = as_map(await run(client, name, here, *rest))
        assert as_map(await run(client, name, here, "CONTEXT", there, *rest)).keys() == mine.keys()
    assert await instances(redis_client) == {"support", "there"}
    assert await run(client, "MEMCLEAR", here, "CONTEXT", there) == 2
    last = as_map(await run(client, "MEMINFO", here))["last-id"]
    assert await run(client, "MEMPIN", here, last) == await run(client, "MEMUNPIN", "{{.workflow.id}}", last) == 1
    lease = as_map(await run(client, "MEMLOCK", here, "10000"))["token"]
    assert await run(client, "MEMUNLOCK", "support", lease) == 1
    assert as_map(await run(client, "MEMFORK", here, "{{ agent.id }}"))["messages"] == 2
    assert await run(client, "MEMDEL", "{{ agent.id }}", last) == 1
    assert await instances(redis_client) == {"support", "agent-1"}


async def test_the_context_is_the_connection_s(
    client: redis.asyncio.Redis, sidecar: SidecarProcess, redis_client: redis.asyncio.Redis
) -> None:
    """MEMCONTEXT shows and replaces it, a command's CONTEXT lasts for that command, and no other connection has it."""
    assert json.loads(await run(client, "MEMCONTEXT")) == CONTEXT
    await run(client, "MEMAPPEND", "{{ user.id }}/{{ agent.id }}", "CONTEXT", '{"user": {"id": "v"}}', "user", "hello")
    assert json.loads(await run(client, "MEMCONTEXT")) == CONTEXT
    async with redis.asyncio.Redis.from_url(sidecar.url, single_connection_client=True) as other:
        assert await run(other, "MEMCONTEXT") == b"{}"
        with pytest.raises(redis.exceptions.ResponseError, match=r"TEMPLATE .*there is no 'user.id'"):
            await run(other, "MEMINFO", "{{ user.id }}")
    await run(client, "MEMCONTEXT", '{"user": {"id": "w"}}')
    await run(client, "MEMAPPEND", "{{ user.id }}", "user", "hello")
    with pytest.raises(redis.exceptions.ResponseError, match=r"TEMPLATE .*there is no 'agent.id'"):
        await run(client, "MEMINFO", "{{ agent.id }}")
    await run(client, "RESET")
    assert await run(client, "MEMCONTEXT") == b"{}"
    assert await instances(redis_client) == {"v/agent-1", "w"}


async def test_contexts_in_a_pipeline(client: redis.asyncio.Redis, redis_client: redis.asyncio.Redis) -> None:
    """Of commands that are sent together each sees the context that was set last before it."""
    pipeline = client.pipeline(transaction=False)
    for number in range(50):
        pipeline.execute_command("MEMCONTEXT", json.dumps({"n": number}))
        pipeline.execute_command("MEMAPPEND", "{{ n }}", "user", "hello")
        pipeline.execute_command("ECHO", "between")
        pipeline.execute_command("MEMINFO", "{{ n }}")
    replies = await pipeline.execute()
    assert [as_map(reply)["messages"] for reply in replies[3::4]] == [1] * 50
    assert await instances(redis_client) == {str(number) for number in range(50)}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (b"", "takes a JSON object"),
        (b"{", "takes a JSON object"),
        (b"[1]", "takes a JSON object"),
        (b'"CLEAR"', "takes a JSON object"),
        (b"null", "takes a JSON object"),
        (b'{"a": "\xff"}', "takes a JSON object"),
        (b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "takes a JSON object"),
        (b'{"a": "' + b"x" * 65_536 + b'"}', "takes at most 65536 bytes of JSON"),
    ],
    ids=lambda value: str(value[:12]),
)
async def test_what_is_no_context(client: redis.asyncio.Redis, context: bytes, said: str) -> None:
    """A context that is no JSON object, or too long, is refused in words, and the connection's stays what it was."""
    for command in (("MEMCONTEXT", context), ("MEMINFO", "{{ workflow.id }}", "CONTEXT", context)):
        with pytest.raises(redis.exceptions.ResponseError, match=said):
            await run(client, *command)
    assert json.loads(await run(client, "MEMCONTEXT")) == CONTEXT
