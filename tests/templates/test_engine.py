"""Templates: every variable, both spellings, and nothing that could be escaped from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import TemplateProblem
from sidecar.templates.engine import MAX_COMPILED, MAX_TEMPLATE_CHARACTERS, TemplateEngine
from sidecar.templates.filters import MAX_CHARACTERS

ENGINE = TemplateEngine()

CONTEXT: dict[str, Any] = {
    "workflow": {
        "id": "support",
        "exec_id": "e1",
        "status": "RUNNING",
        "input": {"city": "Rome", "items": [{"name": "first"}]},
        "output": {"total": 7},
    },
    "project": {"id": "shop", "name": "Shop", "version": "1.2", "description": "sells"},
    "task": {"id": "t1", "type": "basic", "action": "ask", "with": {"x": 1}, "env": {"HOME": "h"}, "items": "an item"},
    "tasks": {"first": {"output": {"answer": "yes"}}, "my-task": {"output": {"id": 5}}},
    "task_input": "ti",
    "agent": {"id": "a1"},
    "user": {"id": "u1", "name": " Ann Bell "},
    "session": {"id": "s1"},
    "input": "in",
    "output": "out",
    "with": {"get": "w"},
    "env": {"REGION": "eu"},
    "config": {"mode": "m"},
    "item": ["a", "b"],
    "index": 3,
    "parent": {"id": "p"},
    "current": "c",
    "timestamp": 1732312345,
    "nothing": None,
    "yes": True,
    "half": 0.5,
}

VARIABLES = {
    "workflow.id": "support",
    "workflow.exec_id": "e1",
    "workflow.status": "RUNNING",
    "workflow.input.city": "Rome",
    "workflow.input.items.0.name": "first",
    "workflow.output.total": "7",
    "project.id": "shop",
    "project.name": "Shop",
    "project.version": "1.2",
    "project.description": "sells",
    "task.id": "t1",
    "task.type": "basic",
    "task.action": "ask",
    "task.with.x": "1",
    "task.env.HOME": "h",
    "task.items": "an item",
    "tasks.first.output.answer": "yes",
    "task_input": "ti",
    "agent.id": "a1",
    "user.id": "u1",
    "session.id": "s1",
    "input": "in",
    "output": "out",
    "with.get": "w",
    "env.REGION": "eu",
    "config.mode": "m",
    "item.1": "b",
    "index": "3",
    "parent.id": "p",
    "current": "c",
    "timestamp": "1732312345",
    "yes": "true",
    "half": "0.5",
}


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable(name: str) -> None:
    """Each variable is there by its name, in both spellings, in any position."""
    value = VARIABLES[name]
    assert ENGINE.render(f"{{{{ {name} }}}}", CONTEXT) == value
    assert ENGINE.render(f"{{{{ .{name} }}}}", CONTEXT) == value
    assert ENGINE.render(f"a:{{{{{name}}}}}:{{{{.{name}}}}}-z", CONTEXT) == f"a:{value}:{value}-z"


EXPRESSIONS = {
    "{{ tasks['my-task'].output.id }}": "5",
    "{{ .tasks['my-task'].output.id }}": "5",
    "{{- workflow.id -}}": "support",
    "{{ user.name | trim | lower }}": "ann bell",
    "{{ .user.name | trim | upper }}": "ANN BELL",
    "{{ user.name | trim | trunc(3) }}": "Ann",
    "{{ .user.name | trim | trunc 3 }}": "Ann",
    "{{ .user.name | trim | trunc -4 }}": "Bell",
    "{{ workflow.id | replace('sup', 'trans') }}": "transport",
    '{{ .workflow.id | replace "sup" "trans" }}': "transport",
    "{{ .workflow.id | replace `sup` 'trans' }}": "transport",
    "{{ item | join('+') }}": "a+b",
    "{{ item | join }}": "a,b",
    '{{ .item | join "+" }}': "a+b",
    "{{ workflow.foo.bar | default('x') }}": "x",
    '{{ .nowhere | default "x" | upper }}': "X",
    "{{ nothing | default('x') }}": "x",
    "{{ workflow.id | default('x') }}": "support",
    "{{ nowhere | default(user.id) }}": "u1",
    "{{ .nowhere | default .user.id }}": "u1",
    "{{ index | default(5) | trunc(1) }}": "3",
    "{{ 'text' }}": "text",
    "{{ .x | default(' .y ') | trim }}": ".y",
    "no template": "no template",
}


@pytest.mark.parametrize("template", EXPRESSIONS)
def test_expressions(template: str) -> None:
    """Filters and indexes, in Jinja2's spelling and in Go's."""
    assert ENGINE.render(template, CONTEXT) == EXPRESSIONS[template]


MISSING = {
    "{{ workflow.input.town }}": "workflow.input.town",
    "{{ .nobody.id }}": "nobody.id",
    "{{ item.2 }}": "item.2",
    "{{ tasks['other'].output }}": "tasks.other.output",
    "{{ workflow.keys }}": "workflow.keys",
    "{{ item | join | nobody | upper }}": None,
    "{{ nobody | upper }}": "nobody",
    "{{ nobody | join }}": "nobody",
}


@pytest.mark.parametrize("template", [name for name in MISSING if MISSING[name]])
def test_a_missing_variable_is_named(template: str) -> None:
    """What the context lacks is an error with its whole path, and says where contexts come from."""
    with pytest.raises(TemplateProblem) as problem:
        ENGINE.render(template, CONTEXT)
    assert f"there is no '{MISSING[template]}' in the context; give it with MEMCONTEXT or CONTEXT" in str(problem.value)
    assert problem.value.reply().startswith("TEMPLATE ")


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ ().__class__.__bases__[0] }}",
    "{{ [].__class__ }}",
    "{{ {}.__class__ }}",
    "{{ config.__class__.__init__.__globals__ }}",
    "{{ config['__class__'] }}",
    "{{ workflow.__class__ }}",
    "{{ workflow.id.__class__ }}",
    "{{ workflow['__class__'] }}",
    "{{ workflow.id['__class__'] }}",
    "{{ workflow.id.upper() }}",
    "{{ workflow.items() }}",
    "{{ workflow | attr('__class__') }}",
    "{{ workflow|attr('items') }}",
    "{{ self }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ joiner }}",
    "{{ namespace.__init__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ range(9999999999) }}",
    "{{ dict(a=1) }}",
    "{{ url_for.__globals__ }}",
    "{{ request.application.__globals__ }}",
    "{{ '%s' | format(workflow) }}",
    "{{ '{0.__class__}'.format(workflow) }}",
    "{{ workflow.id | map('upper') }}",
    "{{ [workflow] | map(attribute='id') | list }}",
    "{{ workflow.id | xmlattr }}",
    "{{ 'a' * 10 }}",
    "{{ 'a' ~ 'b' }}",
    "{{ 9 ** 999999999 }}",
    "{{ 1 if true else 2 }}",
    "{{ workflow.id == 'x' }}",
    "{{ workflow is mapping }}",
    "{{ item[0:1] }}",
    "{{ item[index] }}",
    "{{ (lambda: 1)() }}",
    "{{ workflow.id | upper(**workflow) }}",
    "{{ workflow.id | trunc(*item) }}",
    "{% for x in item %}{{ x }}{% endfor %}",
    "{% set x = 1 %}{{ x }}",
    "{% import 'os' as os %}",
    "{{ workflow.id }}{# comment #}",
    "{{ workflow['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ workflow['\\u005f\\u005fclass\\u005f\\u005f'] }}",
    "{{ workflow.ｃlass }}",
    "{{ workflow }}",
    "{{ item }}",
    "{{ nothing }}",
    "{{ 1e999 }}",
    "{{ }}",
    "{{",
    "{{ workflow.id",
    "{{ workflow. }}",
    "{{ | upper }}",
    "{{ workflow.id | }}",
    "{{ workflow.id | nosuch }}",
    "{{ workflow.id | trunc }}",
    "{{ workflow.id | trunc('x') }}",
    "{{ workflow.id | trunc(true) }}",
    "{{ workflow.id | replace('', 'x') }}",
    "{{ workflow.id | replace('x') }}",
    "{{ workflow.id | join }}",
    "{{ '" + "a" * MAX_TEMPLATE_CHARACTERS + "' }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_nothing_else_is_there(template: str) -> None:
    """What is no name, constant or filter of ours is refused with a reason, whatever it would have reached."""
    with pytest.raises(TemplateProblem) as problem:
        ENGINE.render(template, CONTEXT)
    assert len(str(problem.value)) > 10
    assert "<class" not in str(problem.value)


def test_texts_stay_short() -> None:
    """No template makes a long text, neither at its end nor on its way."""
    long = {"a": "x" * 1_000, "l": ["x"] * 3_000, "b": "x" * (MAX_CHARACTERS + 1)}
    for template in (
        "{{ a | replace('x', 'yyyyyyyyyy') }}",
        "{{ l | join(', ') }}",
        "{{ b }}",
        "{{ b | trunc(1) }}",
        "{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}",
    ):
        with pytest.raises(TemplateProblem, match="characters"):
            ENGINE.render(template, long)
    assert ENGINE.render("{{ a | replace('x', '') }}", long) == ""


def test_depth() -> None:
    """A template that is nested too deeply for a stack is refused, not crashed on."""
    for template in ("{{ a" + ".b" * 1_500 + " }}", "{{ a" + " | upper" * 500 + " }}", "{{ " + "(" * 1_500 + " }}"):
        with pytest.raises(TemplateProblem):
            ENGINE.render(template, {"a": "x"})


def test_compiled_templates_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template is compiled once while it is in use; of more than the bound the one used longest ago goes."""
    engine, compiled = TemplateEngine(max_compiled=3), list[str]()
    compile_one = engine.compile
    monkeypatch.setattr(engine, "compile", lambda template: compiled.append(template) or compile_one(template))
    for name in "aabacbda":
        assert engine.render(f"{{{{ {name} }}}}", dict.fromkeys("abcd", "x")) == "x"
    assert [template.strip("{ }") for template in compiled] == ["a", "b", "c", "d", "a"]
    assert engine.compiled == 3
    assert MAX_COMPILED > 3


def test_a_template_that_cannot_be_compiled_is_not_kept() -> None:
    """Wrong templates do not push good ones out."""
    engine = TemplateEngine()
    for _ in range(3):
        with pytest.raises(TemplateProblem):
            engine.render("{{ a() }}", {})
    assert engine.compiled == 0


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in {"true", "false", "none", "not", "and", "or", "if", "else", "is", "in"}
)
VALUES = st.text(max_size=20) | st.integers(-(2**53), 2**53) | st.booleans()


@given(NAMES, NAMES, NAMES, VALUES)
def test_any_names(first: str, second: str, third: str, value: Any) -> None:
    """Whatever a path is called, and whatever stands there, both spellings give the value as text."""
    context = {first: {second: {third: value}}}
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    assert ENGINE.render(f"{{{{ {first}.{second}.{third} }}}}", context) == shown
    assert ENGINE.render(f"{{{{ .{first}.{second}.{third} }}}}", context) == shown


@given(st.text(max_size=40))
def test_any_text_between_braces(text: str) -> None:
    """Any text is a template or a `TemplateProblem`."""
    try:
        rendered = ENGINE.render("{{" + text + "}}", CONTEXT)
    except TemplateProblem:
        return
    assert isinstance(rendered, str)
