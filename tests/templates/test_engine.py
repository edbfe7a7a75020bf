"""Templates: every variable, both spellings, and nothing that could be escaped from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import TemplateProblem
from sidecar.templates.engine import (
    MAX_COMPILED,
    MAX_COMPILED_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    Parts,
    TemplateEngine,
)
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
    "empty": "",
    "no": False,
    "zero": 0,
    "größe": {"äußere": "xl"},
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
    "no": "false",
    "größe.äußere": "xl",
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
    "{{ empty | default('x') }}": "x",
    "{{ none | default('x') }}": "x",
    "{{ zero | default('x') }}": "0",
    "{{ no | default('x') }}": "false",
    "{{ nowhere | default(nothing) | default('x') }}": "x",
    """{{ .tasks['my-task'].output.id | default "x" }}""": "5",
    """{{ .tasks['no-task'].output.id | default "x" | upper }}""": "X",
    "{{ tasks['my-task']['output']['id'] }}": "5",
    "{{ workflow.input['items'][0].name }}": "first",
    "{{ workflow['input'].items.0.name }}": "first",
    """{{ .user.name | trim | trunc(3) | replace "A" "E" | lower }}""": "enn",
    "{{ user.name | trim | trunc(index) }}": "Ann",
    "{{ -5 }}": "-5",
    "a {{- workflow.id -}} z": "asupportz",
    "{{ nowhere | default('}}') }}": "}}",
    "{{ workflow.id }}\n": "support\n",
    "{{ workflow.id }}}}": "support}}",
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
    "{{ nobody | upper }}": "nobody",
    "{{ nobody | join }}": "nobody",
    "{{ item | join(nobody.x) }}": "nobody.x",
    "{{ workflow.id | trunc(nobody.x) }}": "nobody.x",
    "{{ workflow.id | replace(nobody.x, 'y') }}": "nobody.x",
    "{{ nobody | default(workflow.input.town) }}": "workflow.input.town",
    "{{ workflow.id.upper }}": "workflow.id.upper",
    "{{ item.count }}": "item.count",
    "{{ index.real }}": "index.real",
    "{{ range }}": "range",
    "{{ dict }}": "dict",
    "{{ lipsum }}": "lipsum",
    "{{ cycler }}": "cycler",
    "{{ namespace }}": "namespace",
    "{{ loop }}": "loop",
    "{{ self }}": "self",
    "{{ caller }}": "caller",
    "{{ varargs }}": "varargs",
}


@pytest.mark.parametrize("template", MISSING)
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
    "{{ workflow.\uff43lass }}",
    "{{ workflow['__cl' 'ass__'] }}",
    "{{ request|attr('application') }}",
    "{{ ''['__class__'] }}",
    '{{ "".__class__ }}',
    "{{ (1).__class__ }}",
    "{{ (workflow.id | upper).__class__ }}",
    "{{ workflow | tojson }}",
    "{{ workflow.id | safe }}",
    "{{ workflow | items }}",
    "{{ workflow | pprint }}",
    "{{ not workflow.id }}",
    "{{ -index }}",
    "{{ item[-1] }}",
    "{{ item[false] }}",
    "{{ item[0x" + "f" * 4_000 + "] }}",
    "{{ 0x" + "f" * 4_000 + " }}",
    "{{ -0x" + "f" * 4_000 + " }}",
    "{{ '\\ud800' }}",
    "{{ workflow['\\ud800'] }}",
    "{{ workflow.input }}",
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
    problem.value.reply().encode()


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
    with pytest.raises(TemplateProblem, match=f"at most {MAX_TEMPLATE_CHARACTERS} are allowed"):
        ENGINE.render("x" * (MAX_TEMPLATE_CHARACTERS - 6) + "{{ a }}", long)
    assert ENGINE.render("x" * (MAX_TEMPLATE_CHARACTERS - 7) + "{{ o }}", {"o": ""}) == "x" * 4_089


def test_an_unknown_filter() -> None:
    """The error lists the filters that there are."""
    with pytest.raises(TemplateProblem, match="no filter 'sha256'; use one of default, lower, upper, trim, replace,"):
        ENGINE.render("{{ workflow.id | sha256 }}", CONTEXT)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ workflow.input }}", "'workflow.input' is an object"),
        ("{{ .workflow.input.items }}", "'workflow.input.items' is a list"),
        ("{{ nothing | upper }}", "'nothing' is null"),
        ("{{ workflow.input.items | join }}", "'workflow.input.items.0' is an object"),
        ("{{ workflow.id | join }}", "'workflow.id' is none"),
        ("{{ workflow.id | upper | join }}", "a text is none"),
    ],
)
def test_what_is_no_text_is_named(template: str, complaint: str) -> None:
    """A value that does not fit into a key is an error with its whole path."""
    with pytest.raises(TemplateProblem, match=complaint):
        ENGINE.render(template, CONTEXT)


def test_depth() -> None:
    """A template that is nested too deeply for a stack is refused, not crashed on."""
    for template in ("{{ a" + ".b" * 1_500 + " }}", "{{ a" + " | upper" * 500 + " }}", "{{ " + "(" * 1_500 + " }}"):
        with pytest.raises(TemplateProblem):
            ENGINE.render(template, {"a": "x"})


class CountingEngine(TemplateEngine):
    """Notes what it compiles."""

    def __init__(self, *, max_compiled: int = MAX_COMPILED) -> None:
        super().__init__(max_compiled=max_compiled)
        self.seen: list[str] = []

    def compile(self, template: str) -> Parts:
        self.seen.append(template)
        return super().compile(template)


def test_compiled_templates_are_kept_and_bounded() -> None:
    """A template is compiled once while it is in use; of more than the bound the one used longest ago goes."""
    engine = CountingEngine(max_compiled=3)
    for name in "aabacbda":
        assert engine.render(f"{{{{ {name} }}}}", dict.fromkeys("abcd", "x")) == "x"
    assert [template.strip("{ }") for template in engine.seen] == ["a", "b", "c", "d", "a"]
    assert engine.compiled == 3


def test_long_templates_are_kept_up_to_a_size() -> None:
    """However long templates are, what is kept of them together is bounded, and the last one is among it."""
    engine = CountingEngine()
    templates = [f"{number:03d}{{{{ a }}}}" + "x" * 4_000 for number in range(50)]
    for template in [*templates, templates[-1], templates[0]]:
        engine.render(template, {"a": "x"})
    assert engine.compiled == MAX_COMPILED_CHARACTERS // len(templates[0]) == 32
    assert engine.seen == [*templates, templates[0]]


def test_a_template_that_cannot_be_compiled_is_not_kept() -> None:
    """Wrong templates do not push good ones out."""
    engine = TemplateEngine()
    for _ in range(3):
        with pytest.raises(TemplateProblem):
            engine.render("{{ a() }}", {})
    assert engine.compiled == 0


NAMES = st.from_regex(r"[A-Za-zäßжλ_][A-Za-z0-9äßжλ_]{0,8}", fullmatch=True).filter(
    lambda name: name.lower() not in {"true", "false", "none", "not", "and", "or", "if", "else", "is", "in"}
)
VALUES = (
    st.text(max_size=20)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
)


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
    assert rendered.encode().decode() == rendered
